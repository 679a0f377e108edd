// Runs before the first paint, so that a chosen theme never flashes. ?theme= wins over what was chosen before.
(() => {
  let saved = null;
  try { saved = localStorage.theme; } catch { /* private window */ }
  const theme = new URLSearchParams(location.search).get("theme") || saved;
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
