// The last hour by minute: uPlot draws it; a figure with a table, arrow keys and a polite live region make it readable for
// those who do not see it. A gap in the data is a gap in the line; the open minute is dashed, because it still grows.
import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Data } from "./frame";
import { count, minuteOf } from "./format";
import { theme } from "./view";

type Minutes = NonNullable<Data["minutes"]>;
type Column = (number | null)[];

// Total and bots, each as the closed minutes and the dashed last step.
function columns(m: Minutes): uPlot.AlignedData {
  const from = Date.parse(m.from) / 1000;
  const last = m.counts.length - 1;
  const closed = (c: Column): Column => c.map((n, i) => (m.open && i === last ? null : n));
  const open = (c: Column): Column => c.map((n, i) => (m.open && i >= last - 1 ? n : null));
  return [m.counts.map((_, i) => from + i * 60), closed(m.counts), open(m.counts), closed(m.bots), open(m.bots)];
}

const color = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(width: number, height: number, onMove: (index: number | null) => void): uPlot.Options {
  const total = color("--total"), bots = color("--bots"), ink = color("--ink-2"), grid = color("--grid");
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  // A value without neighbours has no line: it gets a point, and so has the newest.
  const lonely = (u: uPlot, series: number): number[] => {
    const all = u.data[series] ?? [];
    const points: number[] = [];
    for (let i = 0; i < all.length; i++) {
      const alone = all[i - 1] == null && all[i + 1] == null;
      if (all[i] != null && (alone || (series % 2 === 0 && i === all.length - 1))) points.push(i);
    }
    return points;
  };
  const line = (stroke: string, extra: Partial<uPlot.Series>): uPlot.Series => ({ stroke, width: 2, points: { show: true, size: 6, fill: stroke, filter: lonely }, ...extra });
  return {
    width,
    height,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    padding: [8, 22, 0, 0],
    scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max(5, max * 1.08)] } },
    axes: [
      { ...axis, values: (_u, ticks) => ticks.map(minuteOf), space: 60, size: 26 },
      { ...axis, values: (_u, ticks) => ticks.map((t) => (Number.isInteger(t) ? count(t) : "")), size: 50, space: 32 },
    ],
    series: [
      {},
      line(total, { fill: color("--total-soft") }),
      line(total, { dash: [4, 4] }),
      line(bots, { width: 1.5 }),
      line(bots, { width: 1.5, dash: [4, 4] }),
    ],
    hooks: { setCursor: [(u) => onMove(u.cursor.idx ?? null)] },
  };
}

function wordsAt(m: Minutes, index: number): string {
  const at = `${minuteOf(Date.parse(m.from) / 1000 + index * 60)} UTC`;
  const total = m.counts[index];
  if (total == null) return `${at}: no data`;
  const open = m.open && index === m.counts.length - 1 ? ", so far" : "";
  return `${at}: ${count(total)} changes, ${count(m.bots[index] ?? 0)} by bots${open}`;
}

function MinuteTable({ minutes }: { minutes: Minutes }) {
  const rows = minutes.counts.map((total, i) => ({ total, bots: minutes.bots[i] ?? null, at: Date.parse(minutes.from) / 1000 + i * 60 }));
  return (
    <table class="minutes">
      <caption class="hidden">Changes by minute of the last hour, newest first</caption>
      <thead>
        <tr>
          <th scope="col">Minute (UTC)</th>
          <th scope="col">Changes</th>
          <th scope="col">By bots</th>
        </tr>
      </thead>
      <tbody>
        {rows.reverse().map((row, i) => (
          <tr key={row.at}>
            <th scope="row">{minuteOf(row.at)}{i === 0 && minutes.open ? " (so far)" : ""}</th>
            <td>{row.total === null ? "no data" : count(row.total)}</td>
            <td>{row.bots === null ? "no data" : count(row.bots)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function useDebounced(text: string): string {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSaid(text), 300);
    return () => clearTimeout(timer);
  }, [text]);
  return said;
}

// The plot follows its box and the colours of the theme; data comes by setData, so nothing is rebuilt each second.
function usePlot(minutes: Minutes | null, onMove: (index: number | null) => void) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const move = useRef(onMove);
  move.current = onMove;
  const chosen = theme.value;
  const present = minutes !== null;
  useEffect(() => {
    const element = box.current;
    if (!element || !present) return;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const build = (): void => {
      plot.current?.destroy();
      const data: uPlot.AlignedData = minutes ? columns(minutes) : [[]];
      plot.current = new uPlot(options(element.clientWidth, element.clientHeight, (i) => move.current(i)), data, element);
    };
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight }));
    build();
    resize.observe(element);
    dark.addEventListener("change", build);
    return () => {
      resize.disconnect();
      dark.removeEventListener("change", build);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [chosen, present]);
  useEffect(() => {
    if (minutes) plot.current?.setData(columns(minutes));
  }, [minutes]);
  return { box, plot };
}

function stepOf(key: string, index: number, last: number): number | null {
  const steps: Record<string, number> = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last };
  const next = steps[key];
  return next === undefined ? null : Math.min(last, Math.max(0, next));
}

function moveCursor(plot: uPlot, index: number): void {
  const at = plot.data[0][index];
  if (at === undefined) return;
  plot.setCursor({ left: plot.valToPos(at, "x"), top: plot.over.clientHeight / 2 });
}

export function Timeline({ data }: { data: Data | null }) {
  const minutes = data?.minutes ?? null;
  const [index, setIndex] = useState<number | null>(null);
  const { box, plot } = usePlot(minutes, setIndex);
  const words = minutes && index !== null ? wordsAt(minutes, index) : "";
  const said = useDebounced(words);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!minutes || !plot.current) return;
    const last = minutes.counts.length - 1;
    const next = stepOf(event.key, index ?? last + 1, last);
    if (next === null) return;
    event.preventDefault();
    moveCursor(plot.current, next);
  };
  return (
    <section class="card timeline" aria-labelledby="timeline-title">
      <div class="head">
        <h2 id="timeline-title">Changes per minute</h2>
        <span class="note readout">{words || "last hour, event time (UTC)"}</span>
      </div>
      <figure tabIndex={0} aria-label="Changes per minute in the last hour; arrow keys read single minutes" aria-details="minutes" onKeyDown={onKeyDown}>
        <div class="plotbox">
          <div class="plot" ref={box} aria-hidden="true" />
          {data !== null && minutes === null ? <p class="empty">No event yet, so there is no line to draw.</p> : null}
        </div>
        <figcaption class="keys">
          <span class="key total">All changes</span>
          <span class="key bots">By bots</span>
          <span class="key open">Minute not over</span>
        </figcaption>
      </figure>
      <div role="status" class="hidden">{said}</div>
      <details id="minutes">
        <summary>As a table</summary>
        {minutes ? <MinuteTable minutes={minutes} /> : <p class="empty">No event yet.</p>}
      </details>
    </section>
  );
}
