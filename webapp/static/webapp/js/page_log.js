// The Log tab.

import { bound, choice, setHidden } from "./dom.js";
import { getState, onState } from "./live.js";
import { logLine } from "./log.js";

const list = bound("log");
const box = document.querySelector("[data-log-box]");
const pill = document.querySelector("[data-log-pill]");
const empty = document.querySelector("[data-log-empty]");
let shownTo = null; // the last line already shown
let unseen = 0;
let level = choice(document.querySelectorAll("[data-level][type=button]"), "level", "level", (value) => {
  level = value;
  shownTo = null;
  list.replaceChildren();
  drawLog(getState());
});

const atEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 24;

function toEnd() {
  box.scrollTop = box.scrollHeight;
  unseen = 0;
  setHidden(pill, true);
}

function drawLog(state) {
  const start = shownTo === null ? 0 : state.log.lastIndexOf(shownTo) + 1;
  const fresh = state.log.slice(start).filter((line) => level === "all" || line.level !== "info");
  setHidden(empty, state.log.length > 0);
  if (!state.log.length) return;
  const follow = atEnd() || shownTo === null;
  shownTo = state.log[state.log.length - 1];
  if (!fresh.length) return;
  list.append(...fresh.map(logLine));
  if (follow) {
    toEnd();
    return;
  }
  unseen += fresh.length;
  pill.querySelector("span").textContent = `${unseen} new ${unseen === 1 ? "line" : "lines"}`;
  setHidden(pill, false);
}

pill.querySelector("button").addEventListener("click", toEnd);
box.addEventListener("scroll", () => { if (atEnd()) { unseen = 0; setHidden(pill, true); } });
onState(drawLog);
