// Runs before the first paint, so that a chosen theme does not flash. Kept apart from the rest for that.
try {
  const theme = localStorage.getItem("wikitally.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is refused: the system's theme it is
}
