// What the panels of the Analysis tab share.

import { element, svg } from "./dom.js";

export function legendItem(slot, dash, text) {
  const line = svg("path", { class: `line${dash === "solid" ? "" : ` d-${dash}`}`, d: "M0 5H18" });
  return element("li", {}, svg("svg", { class: slot, viewBox: "0 0 18 10", "aria-hidden": "true" }, line), text);
}

/** Say in a figure's place why there is none. */
export function showEmpty(panel, title, why) {
  panel.querySelector("[data-wait]")?.replaceChildren(element("div.state", {}, element("h3.state-title", {}, title), element("p", {}, why)));
}
