// The one stream of the page. It reads Server-Sent Events through fetch and not through EventSource, because the page has
// to know what EventSource hides: why a connection was refused, when the next try is, that the line has gone silent; and a
// connection that it opens itself can still send Last-Event-ID, so that the server goes on where it stopped.
import { batch, computed, signal } from "@preact/signals";
import type { Chip, Data, Frame } from "./frame";
import { chosenWindow, paused } from "./view";

const silentAfterMs = 40_000; // the server says something every 15 s
const hiddenAfterMs = 60_000; // a hidden tab gives its connection back
const longestWaitMs = 30_000;

export type Link =
  | { kind: "connecting" }
  | { kind: "open" }
  | { kind: "offline"; reason: string; attempt: number; retryAt: number };

export const link = signal<Link>({ kind: "connecting" });
export const chip = signal<Chip | null>(null);
export const latest = signal<Frame | null>(null);
const held = signal<Frame | null>(null); // what is shown while paused
export const frame = computed(() => (paused.value ? held.value : latest.value));
export const missed = computed(() => {
  const at = paused.value?.counted;
  const now = latest.value?.data.now?.counted;
  return at == null || now == null || now < at ? 0 : now - at;
});

let abort: AbortController | null = null;
let lastId = "";
let attempt = 0;
let retryTimer = 0;
let hiddenTimer = 0;

export function togglePause(): void {
  batch(() => {
    if (paused.value) {
      paused.value = null;
      return;
    }
    held.value = latest.value;
    paused.value = { counted: latest.value?.data.now?.counted ?? null };
  });
}

interface Message {
  event: string;
  data: string;
  id: string;
}

function take(message: Message): void {
  const body = JSON.parse(message.data) as unknown;
  if (message.event === "state") {
    chip.value = body as Chip;
  } else if (message.event === "hello") {
    chip.value = (body as { state: Chip | null }).state;
  } else if (message.event === "snapshot") {
    const s = body as { boot: string; seq: number; data: Data };
    latest.value = { boot: s.boot, seq: s.seq, data: s.data, at: Date.now() };
  } else if (message.event === "delta") {
    const d = body as { seq: number; data: Partial<Data> };
    const before = latest.value;
    if (!before || d.seq !== before.seq + 1) throw new GapError();
    latest.value = { ...before, seq: d.seq, data: { ...before.data, ...d.data }, at: Date.now() };
  }
  if (message.id) lastId = message.id;
}

// A number is missing: only a new snapshot helps.
class GapError extends Error {}

class Parser {
  private rest = "";
  private message: Message = { event: "message", data: "", id: "" };

  feed(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    batch(() => lines.forEach((line) => this.line(line)));
  }

  private line(line: string): void {
    if (line === "") {
      const done = this.message;
      this.message = { event: "message", data: "", id: "" };
      if (done.data) take(done);
      return;
    }
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("data:")) this.message.data += value;
    else if (line.startsWith("event:")) this.message.event = value;
    else if (line.startsWith("id:")) this.message.id = value;
  }
}

async function refusal(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { detail?: unknown };
    if (typeof problem.detail === "string") return problem.detail;
  } catch {
    // no problem+json: the number has to do
  }
  return `the server answered ${response.status}`;
}

async function readAll(body: ReadableStream<Uint8Array>, own: AbortController): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  const parser = new Parser();
  let silence = 0;
  const listen = (): void => {
    clearTimeout(silence);
    silence = window.setTimeout(() => own.abort(new Error("silent")), silentAfterMs);
  };
  try {
    for (;;) {
      listen();
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(value);
    }
  } finally {
    clearTimeout(silence);
  }
}

async function connect(): Promise<void> {
  const own = new AbortController();
  abort?.abort();
  abort = own;
  clearTimeout(retryTimer);
  let reason = "";
  try {
    const response = await fetch(`/api/v1/stream?views=now:${chosenWindow.value},timeline:1m&hz=1`, {
      headers: lastId ? { "Last-Event-ID": lastId } : {},
      signal: own.signal,
      cache: "no-store",
    });
    if (response.ok && response.body) {
      attempt = 0;
      link.value = { kind: "open" };
      await readAll(response.body, own);
    } else {
      reason = await refusal(response);
    }
  } catch (error) {
    if (error instanceof GapError) lastId = "";
  }
  if (abort === own) retryLater(reason);
}

function retryLater(reason: string): void {
  attempt += 1;
  const wait = Math.min(longestWaitMs, 1000 * 2 ** Math.min(attempt - 1, 5)) * (0.75 + Math.random() / 2);
  link.value = { kind: "offline", reason, attempt, retryAt: Date.now() + wait };
  retryTimer = window.setTimeout(() => void connect(), wait);
}

function disconnect(): void {
  clearTimeout(retryTimer);
  const own = abort;
  abort = null;
  own?.abort();
  link.value = { kind: "connecting" };
}

// Another window is another channel: what came before does not continue there.
export function restart(): void {
  lastId = "";
  void connect();
}

export function start(): void {
  void connect();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = window.setTimeout(disconnect, hiddenAfterMs);
    else if (!abort || link.value.kind === "offline") void connect();
  });
}
