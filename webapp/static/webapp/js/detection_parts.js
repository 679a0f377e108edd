// What the panels of one detection experiment share: its plan, and a method's name with its colour.

import { element } from "./dom.js";
import { swatch } from "./detection_figures.js";

export * from "./detection_figures.js";

/** What never changes in the experiment that a panel belongs to; on a board each tile brings its own. */
export function planOf(panel) {
  const context = panel.closest("[data-tile]")?.querySelector("[data-context] script");
  return context ? JSON.parse(context.textContent).plan : JSON.parse(document.getElementById("plan").textContent);
}

export const legendItem = ({ slot, dash, title }, note = "") =>
  element("li", {}, swatch(slot, dash), title, note ? element("b", {}, note) : null);

export const methodName = ({ slot, title }) => element("span.row", {}, element(`span.run-dot.c${slot}`), title);
