// The Predictions tab.

import { count } from "./format.js";
import { onState, getState } from "./live.js";
import { mountPart } from "./parts.js";
import { mountScore } from "./score_slider.js";

const part = document.querySelector("[data-browser]");
let seen = null; // predictions there were when the gallery was made

const show = mountPart(part, (fresh) => {
  seen = getState().kind.predictions;
  fresh.querySelector("[data-apply]").hidden = true;
  mountScore(fresh);
  offer(getState());
});

/** New predictions never move what is being looked at: a button says how many there are. */
function offer({ kind }) {
  const button = part.querySelector("[data-new]");
  button.hidden = kind.predictions <= seen;
  button.querySelector("span").textContent = `${count(kind.predictions - seen)} new`;
}

part.addEventListener("click", (event) => { if (event.target.closest("[data-new]")) show(location.href, { push: false }); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const target = { j: "[data-next]", k: "[data-previous]", Escape: "[data-close-shown]" }[event.key];
  if (target) part.querySelector(target)?.click();
});

onState(offer);
