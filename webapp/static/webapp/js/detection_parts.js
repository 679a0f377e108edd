// What the panels of one detection experiment share: its plan, and a method's name with its colour.

import { element } from "./dom.js";
import { swatch } from "./detection_figures.js";

export * from "./detection_figures.js";

export const plan = JSON.parse(document.getElementById("plan").textContent);

export const legendItem = ({ slot, dash, title }, note = "") =>
  element("li", {}, swatch(slot, dash), title, note ? element("b", {}, note) : null);

export const methodName = ({ slot, title }) => element("span.row", {}, element(`span.run-dot.c${slot}`), title);
