// The tiles on the page: their place on the grid, and the script of their kind that draws them.

import { element, setText } from "./dom.js";
import { hasEnded } from "./state.js";

const WORDS = { queued: "queued", running: "running", finished: "", failed: "failed", cancelled: "cancelled" };

/** What is chosen in a tile, as `viewOf` of dom.js has it for the address of a page. */
function viewFrom(query, onChange) {
  const chosen = new URLSearchParams(query);
  return {
    get: (key) => chosen.get(key),
    set(key, value) {
      if (value === null) chosen.delete(key);
      else chosen.set(key, value);
      onChange();
    },
    toString: () => chosen.toString(),
  };
}

/** Put a tile where it belongs; boards.css reads the properties. */
export function place(tile, { x, y, w, h }) {
  for (const [name, value] of Object.entries({ x, y, w, h })) tile.style.setProperty(`--${name}`, value);
}

/** Let the tile's kind draw it. A tile that fails says so and leaves the others alone. */
export async function mount(tile, sources, onView) {
  tile.view = viewFrom(tile.dataset.view, onView);
  const { script, name, type } = tile.dataset;
  if (!script) return;
  const panel = tile.querySelector("[data-panel]").firstElementChild;
  try {
    const { tiles } = await import(script);
    const live = sources.of(tile);
    tiles[name](panel, live);
    if (type === "experiment") live.onState((state) => drawStatus(tile, state));
  } catch (error) {
    panel.replaceChildren(element("div.state", {}, element("h2", {}, "This tile could not be drawn"), element("p", {}, "Reload the page to try again.")));
    reportError(error);
  }
}

function drawStatus(tile, state) {
  setText(tile.querySelector("[data-tile-status]"), hasEnded(state) || state.status === "queued" ? WORDS[state.status] : "live");
  tile.dataset.status = state.status;
  tile.dataset.seq = state.seq;
}
