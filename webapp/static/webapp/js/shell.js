// What every page does: theme switch, dialogs, command palette, copy buttons.

const root = document.documentElement;

const isDark = () =>
  (root.dataset.theme || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";

// "dark", "light", or "" for what the system says.
function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  try { localStorage.theme = theme; } catch { /* private window */ }
  root.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  markTheme();
}

function toggleTheme() {
  setTheme(isDark() ? "light" : "dark");
}

function markTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === (root.dataset.theme ?? "")));
  }
}
markTheme();
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
  const choice = target.closest("[data-theme-choice]");
  if (choice) setTheme(choice.dataset.themeChoice);
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
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
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details[data-menu][open]")) menu.open = false;
});

// Buttons that only a page without script needs, and forms that send themselves when their one choice changes.
for (const button of document.querySelectorAll("[data-hide-with-script]")) button.hidden = true;
document.addEventListener("change", (event) => event.target.closest("form[data-submit-on-change]")?.requestSubmit());
