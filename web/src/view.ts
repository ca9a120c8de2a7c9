// What the user chose: window (in the URL), theme, shortcuts (remembered), pause. A refresh never changes any of it.
import { signal } from "@preact/signals";
import { windows, type Window } from "./frame";

export type Theme = "system" | "light" | "dark";

function stored(key: string): string | null {
  try {
    return localStorage.getItem(`wikitally.${key}`);
  } catch {
    return null;
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(`wikitally.${key}`, value);
  } catch {
    // storage is refused: it lasts as long as the page
  }
}

function windowOfUrl(): Window {
  const asked = new URLSearchParams(location.search).get("window");
  return windows.find((w) => w === asked) ?? "5m";
}

const rememberedTheme = stored("theme");
export const theme = signal<Theme>(rememberedTheme === "light" || rememberedTheme === "dark" ? rememberedTheme : "system");
export const shortcuts = signal(stored("shortcuts") !== "off");
export const chosenWindow = signal<Window>(windowOfUrl());
export const paused = signal<{ counted: number | null } | null>(null); // what was shown when it was paused
export const helpOpen = signal(false);

export function chooseTheme(next: Theme): void {
  theme.value = next;
  store("theme", next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}

export function nextTheme(): void {
  const order: Theme[] = ["system", "light", "dark"];
  chooseTheme(order[(order.indexOf(theme.value) + 1) % order.length] ?? "system");
}

export function chooseShortcuts(on: boolean): void {
  shortcuts.value = on;
  store("shortcuts", on ? "on" : "off");
}

export function chooseWindow(next: Window): void {
  chosenWindow.value = next;
  const url = new URL(location.href);
  url.searchParams.set("window", next);
  history.replaceState(null, "", url);
}
