// The four numbers, each with what it means; the rate with its last 60 seconds.
import type { ComponentChildren } from "preact";
import { windowWords, type Data } from "./frame";
import { count, momentOf, rate, share, span } from "./format";

const nothing = "\u2013";

function Sparkline({ counts }: { counts: (number | null)[] }) {
  const top = Math.max(1, ...counts.map((n) => n ?? 0));
  const parts: string[] = [];
  let pen = false;
  counts.forEach((n, i) => {
    if (n === null) {
      pen = false;
      return;
    }
    parts.push(`${pen ? "L" : "M"}${((i / Math.max(1, counts.length - 1)) * 120).toFixed(1)} ${(29 - (n / top) * 27).toFixed(1)}`);
    pen = true;
  });
  return (
    <svg class="spark" viewBox="0 0 120 30" preserveAspectRatio="none" role="img" aria-label={`Changes in each of the last ${counts.length} seconds, at most ${top}`}>
      <path d={parts.join("")} fill="none" stroke="currentColor" stroke-width="1.6" vector-effect="non-scaling-stroke" stroke-linejoin="round" />
    </svg>
  );
}

function Card(props: { id: string; label: string; value: string; exact: number | null; note: string; children?: ComponentChildren }) {
  return (
    <div class="card number" id={props.id}>
      <dt>{props.label}</dt>
      <dd>
        <span class="value" data-value={props.exact ?? ""}>{props.value}</span>
        <span class="note">{props.note}</span>
        {props.children}
      </dd>
    </div>
  );
}

function windowNote(now: Data["now"]): string {
  if (!now) return "no event yet";
  if (now.whole) return `last ${windowWords[now.window]}`;
  return `since ${momentOf(now.from)} UTC (${span(now.seconds)})`;
}

export function Numbers({ data }: { data: Data | null }) {
  const now = data?.now ?? null;
  const note = data ? windowNote(now) : "\u00a0";
  return (
    <dl class="numbers" aria-label="Numbers">
      <Card id="rate" label="Changes/s" exact={now?.rate ?? null} note="mean of 60 s" value={now?.rate == null ? nothing : rate(now.rate)}>
        <Sparkline counts={data?.seconds?.counts ?? []} />
      </Card>
      <Card id="editors" label="Editors" exact={now?.editors ?? null} note={note} value={now ? count(now.editors) : nothing} />
      <Card id="wikis" label="Wikis" exact={now?.wikis ?? null} note={note} value={now ? count(now.wikis) : nothing} />
      <Card
        id="bots"
        label="Bot share"
        exact={now?.bot_share ?? null}
        note={now ? `${count(now.bots)} of ${count(now.changes)} changes` : note}
        value={now?.bot_share == null ? nothing : share(now.bot_share)}
      >
        <div class="meter" aria-hidden="true">
          <span style={{ width: `${(now?.bot_share ?? 0) * 100}%` }} />
        </div>
      </Card>
    </dl>
  );
}
