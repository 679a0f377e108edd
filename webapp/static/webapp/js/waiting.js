// What a figure says while it has nothing to show. On any page: it needs the state alone.

import { element, icon } from "./dom.js";
import { ordinal } from "./format.js";

/** Why a queued experiment does not run yet: a title and a sentence. */
export function queueText(state) {
  const place = state.queue_position ? `, ${state.queue_position === 1 ? "next" : ordinal(state.queue_position)} in the queue` : "";
  const why = state.waiting && !state.waiting.startsWith("Waiting") ? state.waiting : "It starts by itself as soon as one is free.";
  return [`Waiting for ${state.waiting_for || "a worker"}${place}`, why];
}

/** `priority`: with a button to change it while the experiment waits. */
export function drawWait(wait, state, [title, why], { priority = true } = {}) {
  const text = `${title}\n${why}`;
  if (wait.dataset.text === text) return;
  wait.dataset.text = text;
  wait.replaceChildren(element("span.skeleton.chart", { "aria-hidden": "true" }),
    element("div.state", { "data-state": state.status }, element("h2", {}, title), element("p", {}, why), priority ? priorityButton(state) : null));
}

function priorityButton(state) {
  if (state.status !== "queued" || !document.getElementById("priority")) return null;
  return element("div.actions", {}, element("button.btn", { type: "button", "data-open": "priority" }, icon("bolt"), "Change priority"));
}
