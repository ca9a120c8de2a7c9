// The bar above everything: name, state chip, source, window, pause, theme, help.
import { useEffect, useState } from "preact/hooks";
import { windows, windowWords, type ChipState } from "./frame";
import { localMoment, ordinal } from "./format";
import { chip, latest, link, missed, restart, togglePause } from "./live";
import { chooseWindow, chosenWindow, helpOpen, nextTheme, paused, theme } from "./view";

export type Shown = ChipState | "PAUSED" | "OFFLINE" | "CONNECTING";

export function shownState(): Shown {
  if (link.value.kind === "offline") return "OFFLINE";
  if (paused.value) return "PAUSED";
  return chip.value?.state ?? "CONNECTING";
}

const shapes: Record<Shown, string> = {
  LIVE: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z",
  "CATCHING UP": "M8 2 2.5 8H6v6h4V8h3.5Z",
  REPLAY: "M4 2.5v11L13 8Z",
  SYNTHETIC: "M6 2h4v1.5H9.5v3L14 14H2L6.5 6.500v-3H6Z",
  STALE: "M8 1.5 15 14H1Zm-.75 4.500v4h1.500v-4Zm0 5v1.500h1.500V11Z",
  PAUSED: "M4 3h3v10H4Zm5 0h3v10H9Z",
  OFFLINE: "M4.1 2.7 8 6.600l3.9-3.9 1.4 1.400L9.4 8l3.9 3.9-1.4 1.400L8 9.400l-3.9 3.9-1.4-1.400L6.6 8 2.7 4.100Z",
  CONNECTING: "M3 6.500h2.500v3H3Zm3.750 0h2.500v3h-2.500Zm3.750 0H13v3h-2.500Z",
};

const names: Record<Shown, string> = {
  LIVE: "Live",
  "CATCHING UP": "Catching up",
  REPLAY: "Replay",
  SYNTHETIC: "Test data",
  STALE: "Stale",
  PAUSED: "Paused",
  OFFLINE: "Offline",
  CONNECTING: "Connecting",
};

function useSecond(active: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [active]);
  return active ? Math.max(now, Date.now()) : now;
}

function offlineWords(now: number): string {
  const at = link.value;
  if (at.kind !== "offline") return "";
  const last = latest.value ? ` \u00b7 last data ${localMoment(latest.value.at)}` : "";
  const wait = Math.max(0, Math.ceil((at.retryAt - now) / 1000));
  const what = at.reason ? `No live stream: ${at.reason}` : "Server not reachable";
  return `${what}${last} \u00b7 retry in ${wait} s (${ordinal(at.attempt)})`;
}

function words(state: Shown, now: number): string {
  const test = chip.value?.kind === "synthetic" ? " \u00b7 test data" : chip.value?.kind === "replay" ? " \u00b7 replay" : "";
  if (state === "OFFLINE") return `${offlineWords(now)}${test}`;
  if (state === "PAUSED") return `Paused (you paused)${test}${missed.value ? ` \u00b7 ${missed.value.toLocaleString("en")} new` : ""}`;
  if (state === "CONNECTING") return "Connecting\u2026";
  return chip.value?.text ?? "";
}

// The state is announced once when it changes; the running words beside it are not.
function StateChip() {
  const state = shownState();
  const now = useSecond(state === "OFFLINE");
  return (
    <div class="chip" data-state={state} id="chip">
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path d={shapes[state]} fill="currentColor" fill-rule="evenodd" />
      </svg>
      <span role="status" class="hidden">{names[state]}</span>
      <span class="words">{words(state, now)}</span>
    </div>
  );
}

function WindowPicker() {
  return (
    <fieldset class="segments">
      <legend class="hidden">Window</legend>
      {windows.map((w) => (
        <label key={w} class={w === chosenWindow.value ? "on" : ""}>
          <input
            type="radio"
            name="window"
            value={w}
            checked={w === chosenWindow.value}
            onChange={() => {
              chooseWindow(w);
              restart();
            }}
          />
          {windowWords[w]}
        </label>
      ))}
    </fieldset>
  );
}

const themeWords = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" } as const;
const themeShapes = {
  system: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 1.600v8.800a4.4 4.4 0 0 1 0-8.800Z",
  light: "M8 4.800a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.400ZM7.3 1h1.400v2.200H7.300Zm0 11.800h1.400V15H7.300ZM1 7.300h2.200v1.400H1Zm11.8 0H15v1.400h-2.200Z",
  dark: "M9.5 1.800A6.3 6.3 0 1 0 14.4 10 5.6 5.6 0 0 1 9.5 1.800Z",
} as const;

function IconButton(props: { label: string; shape: string; onClick: () => void; pressed?: boolean; id: string }) {
  return (
    <button type="button" class="icon" id={props.id} title={props.label} aria-label={props.label} aria-pressed={props.pressed} onClick={props.onClick}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path d={props.shape} fill="currentColor" fill-rule="evenodd" />
      </svg>
    </button>
  );
}

// A striped edge over whatever is not the live stream. Its height is always kept free, so that nothing moves.
export function TestEdge() {
  const kind = chip.value?.kind;
  const words = kind === "synthetic" ? "Test data" : kind === "replay" ? "Test data: replay of recorded events" : "";
  return <div class={words ? "edge on" : "edge"}>{words ? <span class="hidden">{words}</span> : null}</div>;
}

export function Top() {
  return (
    <header>
      <TestEdge />
      <div class="bar">
        <h1>
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <rect width="32" height="32" rx="7" class="mark" />
            <path d="M8 8v16M13 8v16M18 8v16M23 8v16" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
            <path d="M5 22 27 10" stroke="#ffc24b" stroke-width="2.6" stroke-linecap="round" />
          </svg>
          wikitally
        </h1>
        <StateChip />
        <span class="source" title={chip.value?.source}>
          <bdi>{chip.value?.source ?? ""}</bdi>
        </span>
        <div class="tools">
          <WindowPicker />
          <IconButton
            id="pause"
            label={paused.value ? "Resume (Space)" : "Pause (Space)"}
            shape={paused.value ? shapes.REPLAY : shapes.PAUSED}
            pressed={paused.value !== null}
            onClick={togglePause}
          />
          <IconButton id="theme" label={`${themeWords[theme.value]} (t)`} shape={themeShapes[theme.value]} onClick={nextTheme} />
          <IconButton
            id="help"
            label="Help (?)"
            shape="M8 1.500a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm-.8 10h1.600v1.400H7.200Zm3-4.700c-.8.7-1.4 1-1.4 2.200v.700H7.300v-.900c0-1.5.9-2.1 1.6-2.7.5-.4.8-.7.8-1.2 0-.7-.6-1.2-1.6-1.200S6.5 4.3 6.4 5.300H4.900C5 3.5 6.3 2.5 8.1 2.500s3.1 1 3.1 2.500c0 .8-.4 1.3-1 1.800Z"
            onClick={() => (helpOpen.value = true)}
          />
        </div>
      </div>
    </header>
  );
}
