// The dialog that adds tiles to a board: an experiment first, then which of its tiles.

import { element, fetchJson } from "./dom.js";

const PAUSE = 200; // ms after the last key before the search is sent

/** `urls`: {search, choices}; `add(tile)` puts one on the board. */
export function mountAddTile(dialog, urls, add) {
  const search = dialog.querySelector("[data-add-search]");
  const found = dialog.querySelector("[data-add-found]");
  const choices = dialog.querySelector("[data-add-tiles]");
  const said = dialog.querySelector("[data-add-said]");
  const go = dialog.querySelector("[data-add-go]");
  let timer = 0;

  async function look() {
    const { experiments } = await fetchJson(`${urls.search}?q=${encodeURIComponent(search.value)}`);
    found.replaceChildren(...experiments.map(({ code, name, status, colour }) => element("li", {},
      element("label.check", {}, element("input", { type: "radio", name: "experiment", value: code }), element(`span.run-dot.c${colour}`), element("span.grow", {}, name)), element("span.end", {}, status))));
    said.textContent = experiments.length ? "" : "No experiment has this name.";
    choices.hidden = true;
    go.disabled = true;
  }

  found.addEventListener("change", async ({ target }) => {
    const { tiles } = await fetchJson(`${urls.choices}?experiment=${target.value}`);
    choices.replaceChildren(choices.firstElementChild, ...tileBoxes(tiles));
    choices.hidden = false;
    go.disabled = true;
  });
  choices.addEventListener("change", () => { go.disabled = !choices.querySelector(":checked"); });
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, PAUSE); });
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const experiment = found.querySelector(":checked")?.value;
    if (!experiment) return;
    const chosen = chosenOf(choices);
    dialog.close();
    for (const tile of chosen) await add({ type: "experiment", experiment, view: "", ...tile });
  });
  new MutationObserver(() => { if (dialog.open) look(); }).observe(dialog, { attributes: true, attributeFilter: ["open"] });
}

export const tileBoxes = (tiles) => tiles.map(({ name, title, w, h }) => element("label.check", {}, element("input", { type: "checkbox", value: name, "data-w": w, "data-h": h }), element("span", {}, title)));

export const chosenOf = (box) => [...box.querySelectorAll(":checked")].map(({ value, dataset }) => ({ name: value, w: Number(dataset.w), h: Number(dataset.h) }));
