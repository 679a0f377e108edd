// The list of experiments: filters apply when they change, "/" goes to the search, running experiments stay fresh.

const REFRESH_MS = 5000;
const form = document.querySelector("[data-filters]");

if (form) {
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("submit", () => {
    // Short addresses: what is not set is left out.
    for (const control of form.elements) if (control.name && !control.value) control.disabled = true;
  });
  // The browser's Back button shows the page as it was left, disabled controls included.
  addEventListener("pageshow", () => { for (const control of form.elements) control.disabled = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select, dialog[open]")) return;
    event.preventDefault();
    form.querySelector("[data-slash]").focus();
  });
}

// The bar with "Compare" comes up when something is ticked; what is ticked survives a refresh of the table.
const compare = document.querySelector("[data-compare]");
const ticked = () => [...document.querySelectorAll('input[form="compare-form"]:checked')];

function drawCompare() {
  if (!compare) return;
  const chosen = ticked().length;
  compare.classList.toggle("shown", chosen > 0);
  compare.querySelector("[data-chosen]").textContent = `${chosen} selected`;
}
document.addEventListener("change", (event) => { if (event.target.matches('input[form="compare-form"]')) drawCompare(); });
addEventListener("pageshow", drawCompare);

async function refresh() {
  if (document.hidden || document.querySelector("dialog[open]")) return;
  const response = await fetch(location.href);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-refresh]")) {
    const fresh = page.querySelector(`[data-refresh="${part.dataset.refresh}"]`);
    // A part that holds the focus stays: a reader's place is never taken away.
    if (fresh && fresh.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      const codes = ticked().map((box) => box.value);
      part.replaceChildren(...fresh.childNodes);
      for (const code of codes) part.querySelectorAll(`input[value="${code}"]`).forEach((box) => { box.checked = true; });
      drawCompare();
    }
  }
}

if (document.querySelector('[data-refresh="live"]')) {
  setInterval(() => refresh().catch(() => { /* offline: the next try may do */ }), REFRESH_MS);
}
