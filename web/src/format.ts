// Numbers and times as people read them; Intl does the work. Event time is always shown in UTC and says so.

const whole = new Intl.NumberFormat("en");
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC" });
const localClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });

export const count = (n: number): string => whole.format(n);
export const rate = (n: number): string => tenth.format(n);
export const share = (n: number): string => percent.format(n);

// Digits as they came, in groups of three: such a number may be larger than what a JavaScript number holds.
export const digits = (text: string): string => text.replace(/\B(?=(\d{3})+$)/g, ",");

export const minuteOf = (seconds: number): string => clock.format(seconds * 1000);
export const momentOf = (iso: string): string => clockSeconds.format(Date.parse(iso));
export const localMoment = (ms: number): string => localClock.format(ms);

const suffixes: Record<string, string> = { one: "st", two: "nd", few: "rd", other: "th" };
export const ordinal = (n: number): string => `${n}${suffixes[ordinals.select(n)] ?? "th"}`;

export function span(seconds: number): string {
  if (seconds < 90) return `${seconds} s`;
  return `${Math.round(seconds / 60)} min`;
}
