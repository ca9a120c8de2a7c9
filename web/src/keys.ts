// Single keys. They can be switched off in the help, because they get in the way of speech input and screen readers.
import { togglePause } from "./live";
import { helpOpen, nextTheme, shortcuts } from "./view";

export const keyList: [string, string][] = [
  ["Space", "Pause or go on"],
  ["t", "Theme: system, light, dark"],
  ["?", "This help"],
  ["\u2190 \u2192", "Move through the timeline, when it has the focus"],
];

const usesSpace = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest("a, button, input, select, summary, textarea") !== null;

export function listenForKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (!shortcuts.value || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target instanceof Element && event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select")) return;
    if (event.key === "?") helpOpen.value = !helpOpen.value;
    else if (helpOpen.value) return;
    else if (event.key === "t") nextTheme();
    else if (event.key === " " && !usesSpace(event.target)) togglePause();
    else return;
    event.preventDefault();
  });
}
