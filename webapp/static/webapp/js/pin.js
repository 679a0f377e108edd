// "Pin to a board" on the pages of experiments and comparisons: a button at each figure that can be a tile, and the dialog.

import { chosenOf, tileBoxes } from "./board_add.js";
import { element, fetchJson, icon } from "./dom.js";

const NEW = "";
const MOST_VIEW = 300; // characters
const dialog = document.getElementById("pin");
const form = dialog.querySelector("[data-pin-form]");
const boards = document.getElementById("pin-board");
const fresh = dialog.querySelector("[data-pin-new]");
const title = document.getElementById("pin-new");
const choices = dialog.querySelector("[data-pin-tiles]");
const problem = dialog.querySelector("[data-pin-error]");
const done = dialog.querySelector("[data-pin-done]");
const { experiment } = dialog.dataset;

for (const name of dialog.dataset.tiles.split(" ")) {
  const actions = document.querySelector(`section.panel[id="${name}"] > .panel-head .actions`);
  const button = element("button.btn.icon-only.ghost.small", { type: "button", "data-pin-tile": name, "aria-label": "Pin to a board", title: "Pin to a board" }, icon("pin"));
  actions?.append(button);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-pin-tile], [data-open='pin']");
  if (button) open(button.dataset.pinTile);
});

async function open(name) {
  if (!dialog.open) dialog.showModal();
  problem.hidden = true;
  done.replaceChildren();
  const query = experiment ? `?experiment=${experiment}` : location.search;
  const found = await fetchJson(dialog.dataset.choices + query);
  boards.replaceChildren(...found.boards.map(({ code, title: text }) => element("option", { value: code }, text)), element("option", { value: NEW }, "A new board…"));
  boards.selectedIndex = 0;
  showNew();
  choices.replaceChildren(choices.firstElementChild, ...tileBoxes(found.tiles));
  for (const box of choices.querySelectorAll("input")) box.checked = box.value === name;
}

function showNew() {
  fresh.hidden = boards.value !== NEW;
  title.required = !fresh.hidden;
}
boards.addEventListener("change", showNew);

/** What is chosen on this page goes along, as far as it is about the figures. */
function tilesOf() {
  const view = location.search.slice(1);
  const source = experiment ? { type: "experiment", experiment } : { type: "comparison", query: view };
  return chosenOf(choices).map((tile) => ({ ...source, ...tile, view: clientKeys(view).slice(0, MOST_VIEW) }));
}

function clientKeys(query) {
  const keys = document.querySelector("[data-keys]")?.dataset.keys.split(" ");
  const parts = [...new URLSearchParams(query)].filter(([key]) => !keys || keys.includes(key));
  return new URLSearchParams(parts).toString();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  const tiles = tilesOf();
  try {
    if (!tiles.length) throw new Error("Choose what to pin.");
    const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
    const body = JSON.stringify({ board: boards.value || null, title: title.value, tiles });
    const answer = await fetch(dialog.dataset.pin, { method: "POST", body, headers: { "Content-Type": "application/json", "X-CSRFToken": token }, redirect: "error" });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    done.replaceChildren("Pinned to ", element("a.link", { href: told.url }, told.title), ".");
    for (const box of choices.querySelectorAll("input")) box.checked = false;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
