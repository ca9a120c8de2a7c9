import { render } from "preact";
import { Timeline } from "./chart";
import { Help } from "./help";
import { listenForKeys } from "./keys";
import type { Ledger } from "./frame";
import { digits } from "./format";
import { chip, frame, start } from "./live";
import { Numbers } from "./numbers";
import { Pages } from "./pages";
import { shownState, Top } from "./top";
import { chosenWindow } from "./view";

const sourceParts = ["duplicate", "filtered", "dead", "journalled"];
const taskParts = ["counted", "late", "future", "unmatched", "canary", "tick", "dead", "gap"];

function sum(parts: string[], counts: Record<string, string>): string {
  const present = parts.filter((name) => counts[name] !== undefined && counts[name] !== "0");
  return present.map((name) => `${digits(counts[name] ?? "0")} ${name}`).join(" + ") || "\u2013";
}

function verdict(ledger: Ledger): string {
  if (ledger.unaccounted !== "0") return "bad";
  return ledger.balanced ? "good" : "unknown";
}

function LedgerLine({ ledger }: { ledger: Ledger | null }) {
  const ticks = ledger?.source.ticks;
  return (
    <section class="card ledger" aria-labelledby="ledger-title" id="ledger" data-verdict={ledger ? verdict(ledger) : "unknown"}>
      <div class="head">
        <h2 id="ledger-title">Ledger</h2>
        {ledger ? <span class="verdict">{ledger.text}</span> : null}
      </div>
      {ledger ? (
        <dl>
          <div>
            <dt>Source</dt>
            <dd>
              {digits(ledger.source.received ?? "0")} received{ticks && ticks !== "0" ? ` + ${digits(ticks)} ticks` : ""} = {sum(sourceParts, ledger.source)}
            </dd>
          </div>
          <div>
            <dt>Tasks</dt>
            <dd>
              {sum(taskParts, ledger.task)}
            </dd>
          </div>
          <div>
            <dt>In flight</dt>
            <dd id="in-flight">{digits(ledger.in_flight)}</dd>
          </div>
        </dl>
      ) : (
        <dl />
      )}
    </section>
  );
}

function App() {
  const shown = frame.value;
  const data = shown?.data ?? null;
  const state = shownState();
  return (
    <>
      <Top />
      <main data-state={state} data-seq={shown?.seq ?? ""} data-boot={shown?.boot ?? ""} data-window={data?.now?.window ?? ""}>
        <Numbers data={data} />
        <div class="columns">
          <Pages data={data} chip={chip.value} window={chosenWindow.value} />
          <div class="side">
            <Timeline data={data} />
            <LedgerLine ledger={data?.ledger ?? null} />
          </div>
        </div>
      </main>
      <footer>
        <a href="/plain">Plain page</a>
        <a href="/api/v1">API</a>
        <a href="/metrics">Metrics</a>
      </footer>
      <Help />
    </>
  );
}

const root = document.getElementById("app");
if (root) {
  render(<App />, root);
  listenForKeys();
  start();
}
