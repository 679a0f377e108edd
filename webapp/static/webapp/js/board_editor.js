// Changing a board: what is changed stays on the page until it is saved as the next version.

import { mountAddTile } from "./board_add.js";
import { element, remember, setHidden } from "./dom.js";

export function edit(board) {
  const { root, grid, content } = board;
  const head = document.querySelector(".board-head");
  const refused = document.querySelector("[data-refused]");
  const find = (name) => document.querySelector(`[data-${name}]`);
  const dialog = (id) => document.getElementById(id);
  let version = Number(root.dataset.version);
  let dirty = false;

  const texts = new Map(content.tiles.filter(({ type }) => type === "text").map(({ id, text }) => [id, text]));

  /** The board as it stands on the page. */
  function current() {
    const tiles = grid.tiles.map((tile) => {
      const made = { ...tile };
      if (tile.type === "text") made.text = texts.get(tile.id);
      else made.view = String(grid.node(tile.id).view || tile.view || "").slice(0, 300);
      return made;
    });
    return { title: content.title, tiles };
  }

  function start() {
    grid.editing = true;
    root.dataset.editing = "";
    setHidden(head.querySelector("[data-when-reading]"), true);
    setHidden(head.querySelector("[data-when-editing]"), false);
    remember("edit", "1");
    grid.root.querySelector("[data-move]")?.focus({ preventScroll: true });
  }

  board.onChange(() => {
    if (!grid.editing) return; // a choice in a tile while reading is nobody's change
    dirty = true;
    setHidden(find("empty"), grid.tiles.length > 0);
  });
  addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });

  async function post(url, body) {
    const token = document.querySelector("[data-token] input").value;
    return fetch(url, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-CSRFToken": token, Accept: "application/json" }, redirect: "error" });
  }

  async function save(base) {
    const button = find("save-board");
    button.disabled = true;
    try {
      const answer = await post(root.dataset.save, { base, content: current() });
      const body = await answer.json();
      if (answer.ok) { leave(); return; }
      refuse(body.error, answer.status === 409 ? body.version : null);
    } catch {
      refuse("The board was not saved: the server did not answer. Nothing here is lost; try again.");
    } finally {
      button.disabled = false;
    }
  }

  function refuse(text, newer = null) {
    refused.querySelector("[data-refused-text]").textContent = text;
    setHidden(refused.querySelector("[data-stale]"), newer === null);
    if (newer !== null) version = newer;
    refused.hidden = false;
    refused.scrollIntoView({ block: "nearest" });
  }

  /** Load the board anew, without what was not saved. */
  function leave() {
    dirty = false;
    const address = new URL(location.href);
    address.searchParams.delete("edit");
    location.replace(address);
  }

  /** Ask the server for a tile that is not saved yet, and put it on the grid. */
  async function add(tile) {
    const id = fresh(tile.name || tile.type);
    const made = { x: 0, y: 0, title: "", ...tile, id };
    const answer = await post(root.dataset.tileUrl, { content: { title: "one", tiles: [made] } });
    if (!answer.ok) { refuse((await answer.json()).error); return null; }
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html"); // server-escaped; scripts in it never run
    const node = parsed.querySelector("[data-tile]");
    root.append(node);
    if (made.type === "text") texts.set(id, made.text);
    grid.add(made);
    board.draw(node);
    node.scrollIntoView({ block: "nearest" });
    board.say(`${node.dataset.title} is added at the end.`);
    return node;
  }

  function fresh(name) {
    const stem = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 30);
    let made = stem;
    for (let number = 2; grid.get(made); number += 1) made = `${stem}-${number}`;
    return made;
  }

  find("edit").addEventListener("click", start);
  find("save-board").addEventListener("click", () => save(version));
  find("save-anyway").addEventListener("click", () => save(version));
  find("discard").addEventListener("click", leave);
  find("load-theirs").addEventListener("click", leave);
  find("add-text").addEventListener("click", async () => {
    const node = await add({ type: "text", text: "## Heading\n\nText in Markdown.", w: 6, h: 4 });
    if (node) write(node);
  });

  root.addEventListener("click", (event) => {
    const node = event.target.closest("[data-tile]");
    if (event.target.closest("[data-remove]")) {
      const next = node.nextElementSibling || node.previousElementSibling;
      grid.remove(node.dataset.tile);
      next?.querySelector("[data-remove]")?.focus();
      board.say(`${node.dataset.title} is removed.`);
    }
    if (event.target.closest("[data-place]")) placeByNumbers(node);
    if (event.target.closest("[data-write]")) write(node);
  });

  // ---- title, place and size ----------------------------------------------------------------------------------------

  const placing = find("place-form");
  function placeByNumbers(node) {
    const tile = grid.get(node.dataset.tile);
    placing.dataset.of = tile.id;
    const values = { title: tile.title, x: tile.x + 1, y: tile.y + 1, w: tile.w, h: tile.h };
    for (const [name, value] of Object.entries(values)) placing.elements[name].value = value;
    dialog("place-tile").showModal();
  }
  placing.addEventListener("submit", (event) => {
    event.preventDefault();
    const { of } = placing.dataset;
    const number = (name) => Number(placing.elements[name].value);
    const title = placing.elements.title.value.trim();
    grid.change(of, { title, x: number("x") - 1, y: number("y") - 1, w: number("w"), h: number("h") });
    drawTitle(grid.node(of), title);
    dialog("place-tile").close();
    grid.tell(of);
  });

  function drawTitle(node, title) {
    const box = node.querySelector("[data-tile-title]");
    box?.remove();
    if (title) node.querySelector("[data-move]").after(element("b.truncate", { "data-tile-title": "" }, title));
  }

  // ---- text --------------------------------------------------------------------------------------------------------

  const writing = find("write-form");
  const area = dialog("write-area");
  const preview = find("write-preview");
  async function markdown(text) {
    const body = new FormData(document.querySelector("[data-token]"));
    body.set("text", text);
    const answer = await fetch(root.dataset.markdown, { method: "POST", body, redirect: "error" });
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html"); // made safe by the server
    return [...parsed.body.childNodes];
  }
  function write(node) {
    writing.dataset.of = node.dataset.tile;
    area.value = texts.get(node.dataset.tile);
    preview.hidden = true;
    dialog("write-text").showModal();
  }
  find("preview").addEventListener("click", async () => {
    preview.replaceChildren(...await markdown(area.value));
    preview.hidden = false;
  });
  writing.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { of } = writing.dataset;
    texts.set(of, area.value);
    grid.node(of).querySelector("[data-text]").replaceChildren(...await markdown(area.value));
    dialog("write-text").close();
    board.changed();
  });

  // ---- title of the board --------------------------------------------------------------------------------------------

  find("rename").addEventListener("click", () => {
    dialog("board-name").value = content.title;
    dialog("rename-board").showModal();
  });
  find("rename-form").addEventListener("submit", (event) => {
    event.preventDefault();
    content.title = dialog("board-name").value.trim() || content.title;
    document.querySelector("[data-board-title]").textContent = content.title;
    dialog("rename-board").close();
    board.changed();
  });

  mountAddTile(dialog("add-tile"), root.dataset, add);
  if (find("edit").hasAttribute("data-at-once")) start();
}
