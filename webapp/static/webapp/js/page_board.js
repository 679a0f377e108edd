// A board: its tiles, live or frozen, and for those who may write, the editor around them.

import { Grid } from "./board_grid.js";
import { Sources } from "./board_sources.js";
import { mount } from "./board_tiles.js";
import { setText } from "./dom.js";

const root = document.getElementById("board");
const content = JSON.parse(document.getElementById("board-content").textContent);
const sign = document.querySelector("[data-sign]");
const saved = document.getElementById("board-said");
const say = (text) => { saved.textContent = text; };

const sources = new Sources({ keptUrl: root.dataset.kept, follows: "follows" in root.dataset, onSign: drawSign });
const limits = { width: Number(root.dataset.leastWidth), height: Number(root.dataset.leastHeight), mostHeight: Number(root.dataset.mostHeight) };
const listeners = [];
const changed = () => { for (const listener of listeners) listener(); };
const grid = new Grid(root, content.tiles, limits, changed, say);
const board = { root, content, grid, say, onChange: (listener) => listeners.push(listener), changed, draw: (tile) => mount(tile, sources, changed) };

for (const tile of root.querySelectorAll("[data-tile]")) board.draw(tile);

function drawSign(signs) {
  if (!sign) return;
  const lost = signs.filter((each) => each === "reconnecting").length;
  const refused = signs.some((each) => each === "refused");
  const state = refused ? "refused" : lost ? "reconnecting" : signs.every((each) => each === "connecting") ? "connecting" : "live";
  sign.dataset.state = state;
  setText(sign.querySelector("b"), { refused: "Stopped", reconnecting: "Reconnecting", connecting: "Connecting", live: "Live" }[state]);
}
if (sign && !root.querySelector("[data-live]:not([data-live=''])")) sign.hidden = true;

document.querySelector("[data-print]")?.addEventListener("click", () => print());
if (root.dataset.save) (await import("./board_editor.js")).edit(board);
