// What every page does: theme switch, dialogs, command palette, copy buttons.

const root = document.documentElement;

const isDark = () =>
  (root.dataset.theme || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  try { localStorage.theme = theme; } catch { /* private window */ }
  root.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
}
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () =>
  root.dispatchEvent(new CustomEvent("themechange")));

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
  const label = button.lastChild;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = before; }, 2000);
}

document.addEventListener("click", (event) => {
  const target = event.target;
  const opener = target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  if (target.closest("[data-close]")) target.closest("dialog")?.close();
  if (target.closest("[data-theme-toggle]")) toggleTheme();
  const copier = target.closest("[data-copy]");
  if (copier) copy(copier);
  if (target instanceof HTMLDialogElement) target.close();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k") {
    event.preventDefault();
    document.getElementById("palette")?.showModal();
  }
  if (event.altKey && event.key === "m") toggleTheme();
});
