// What the server sends (serve/frames.h): sections by name; a delta replaces those that changed. Counts of 64 bits are
// strings and are only ever shown, never calculated with.

export const windows = ["1m", "5m", "15m", "60m"] as const;
export type Window = (typeof windows)[number];
export const windowWords: Record<Window, string> = { "1m": "1 min", "5m": "5 min", "15m": "15 min", "60m": "60 min" };

export interface Now {
  window: Window;
  edge: string;
  from: string;
  seconds: number;
  whole: boolean;
  rate: number | null;
  changes: number;
  editors: number;
  wikis: number;
  bots: number;
  bot_share: number | null;
  counted: number;
}

export interface Page {
  edits: number;
  wiki: string;
  title: string;
  server: string;
  lang: string;
  dir: "ltr" | "rtl" | "auto";
  new: string | null;
  old: string | null;
}

export interface Ledger {
  known: boolean;
  balanced: boolean;
  unaccounted: string;
  in_flight: string;
  text: string;
  aggregation: string;
  source: Record<string, string>;
  task: Record<string, string>;
}

export interface Data {
  now: Now | null;
  seconds: { from: string; counts: (number | null)[] } | null;
  minutes: { from: string; counts: (number | null)[]; bots: (number | null)[]; open: boolean } | null;
  pages: Page[];
  ledger: Ledger;
}

export type ChipState = "LIVE" | "CATCHING UP" | "REPLAY" | "SYNTHETIC" | "STALE";

export interface Chip {
  state: ChipState;
  text: string;
  kind: "live" | "replay" | "synthetic";
  source: string;
  connected: boolean;
  problem: string;
}

export interface Frame {
  boot: string;
  seq: number;
  data: Data;
  at: number; // when it came, by the browser's clock
}

export function pageKey(page: Page): string {
  return `${page.wiki}\u0000${page.title}`;
}
