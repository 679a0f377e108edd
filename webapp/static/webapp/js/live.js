// What every tab of an experiment shares: the live state, header, stages, live sign, actions. Import it, never load
// it as a script of its own: two copies of this module would be two connections.

import { bound, element, icon, setHidden, setText } from "./dom.js";
import { clock, count, duration } from "./format.js";
import { paced } from "./paced.js";
import { LiveConnection } from "./socket.js";
import { hasEnded } from "./state.js";
import { queueText } from "./waiting.js";

const ANNOUNCE = 10_000; // ms between two sentences for screen readers
const WORDS = { queued: "Queued", running: "Running", finished: "Finished", failed: "Failed", cancelled: "Cancelled" };
const ICONS = {
  queued: "clock", waiting: "clock", running: "ring", finished: "check", done: "check", failed: "warn", cancelled: "slash",
};

const root = document.getElementById("live");
const initial = JSON.parse(document.getElementById("live-state").textContent);
const views = [];
let current = initial;
let updatedAt = Date.now();
let sign = { sign: "connecting" };
let announcedAt = 0;
// The server's clock minus ours, so that ages are right on a machine whose clock is not.
let skew = new Date(initial.now).getTime() - Date.now();

export const page = root.dataset;
export const getState = () => current;

/** Call `view(state)` now and after each change, at most ten times a second and never while the page is hidden. */
export function onState(view) {
  views.push(view);
  view(current);
}

const schedule = paced(() => {
  for (const view of views) view(current);
  root.dataset.seq = current.seq;
  root.dispatchEvent(new CustomEvent("drawn", { detail: current.seq }));
});

const connection = new LiveConnection({
  state: initial,
  liveUrl: page.live,
  socketPath: page.socket,
  onState(state) {
    current = state;
    updatedAt = Date.now();
    skew = new Date(state.now).getTime() - updatedAt;
    root.dispatchEvent(new CustomEvent("state", { detail: state })); // also while the page is hidden and nothing is drawn
    schedule();
  },
  onSign(next) {
    sign = next;
    drawSign();
  },
});

// ---- header --------------------------------------------------------------------------------------------------------

function drawHeader(state) {
  setText(bound("name"), state.name);
  const status = bound("status");
  if (status.dataset.state !== state.status) {
    status.dataset.state = state.status;
    status.replaceChildren(icon(ICONS[state.status]), element("span", {}, WORDS[state.status]));
  }
  root.dataset.status = state.status;
  for (const action of document.querySelectorAll("[data-when]")) {
    setHidden(action, !action.dataset.when.split(" ").includes(state.status));
  }
  drawFacts(state);
  drawStages(state);
  drawTrouble(state);
  drawCount("files", state.artifacts.length);
  announce(state);
}

function drawFacts(state) {
  const now = Date.now() + skew;
  const started = bound("started").lastElementChild;
  if (state.started) {
    const from = new Date(state.started).getTime();
    const to = state.finished ? new Date(state.finished).getTime() : now;
    setText(started, hasEnded(state)
      ? `ran ${duration((to - from) / 1000)}, until ${clock(state.finished)}`
      : `started ${clock(state.started)}, ${duration((to - from) / 1000)} ago`);
  }
  const eta = bound("eta");
  const waits = state.status === "queued";
  setHidden(eta, !waits && (state.eta_seconds === null || hasEnded(state)));
  if (waits) setText(eta.lastElementChild, queueText(state)[0]);
  else if (state.eta_seconds !== null) setText(eta.lastElementChild, `about ${duration(state.eta_seconds)} left`);
  const workers = bound("workers");
  setHidden(workers, !state.workers.length || hasEnded(state));
  setText(workers.lastElementChild, state.workers.join(", "));
}

function drawStages(state) {
  const list = bound("stages");
  const many = state.stages.length > 4;
  list.classList.toggle("many", many);
  if (list.children.length !== state.stages.length) {
    list.replaceChildren(...state.stages.map((stage) => element("li", {},
      element("span.stage-text", {}, element("span.stage-icon"), element("b", {}, titleOf(stage)), element("span.end")),
      element("progress", { "aria-label": titleOf(stage), max: 1, value: 0 }))));
  }
  state.stages.forEach((stage, i) => {
    const item = list.children[i];
    if (item.dataset.state !== stage.state) {
      item.dataset.state = stage.state;
      item.querySelector(".stage-icon").replaceChildren(icon(ICONS[stage.state] || "clock"));
    }
    setText(item.querySelector(".end"), stageText(stage, many));
    const bar = item.querySelector("progress");
    bar.max = Math.max(1, stage.total);
    bar.value = stage.done;
  });
}

const titleOf = (stage) => stage.title || stage.name[0].toUpperCase() + stage.name.slice(1);

function stageText(stage, short) {
  if (stage.state === "waiting" && !stage.done) return short ? "waits" : "waits for the stage before";
  const of = `${count(stage.done)} of ${count(stage.total)}`;
  if (stage.state === "done") return `${count(stage.total)} ${stage.unit}`;
  return stage.state === "running" || stage.state === "waiting" ? of : `${of}, ${stage.state}`;
}

// ---- what went wrong -----------------------------------------------------------------------------------------------

function drawTrouble(state) {
  const box = bound("trouble");
  const shown = state.status === "failed" || state.status === "cancelled" || state.failures.length > 0;
  setHidden(box, !shown);
  const kept = shown ? keptText(state) : "";
  const signature = shown ? JSON.stringify([state.status, state.reason, state.failures, kept]) : "";
  if (box.dataset.signature === signature) return;
  box.dataset.signature = signature;
  if (!shown) return;
  const tone = state.status === "cancelled" ? "info" : state.status === "failed" ? "bad" : "warn";
  const title = { failed: "Stopped", cancelled: "Cancelled" }[state.status] || "Some parts failed";
  box.replaceChildren(element("div.notice.trouble", { "data-tone": tone },
    icon(state.status === "cancelled" ? "slash" : "warn"),
    element("div.tight", {},
      element("strong", {}, state.reason ? `${title}: ${state.reason}` : title),
      element("p", {}, kept),
      ...worthSaying(state).map((failure, i) => failureBox(failure, i === 0)))));
}

/** One failure without output is told by the title already. */
function worthSaying({ reason, failures }) {
  const [only] = failures;
  return failures.length === 1 && !only.log_tail && reason.endsWith(only.reason) ? [] : failures;
}

let keptText = () => "What was done before is kept.";

/** A kind's own sentence about what is there of an experiment that ended early: `write(state)`. */
export function tellKept(write) {
  keptText = write;
  drawTrouble(current);
}

function failureBox(failure, open) {
  const title = `${failure.stage} ${failure.index}, attempt ${failure.attempt}: ${failure.reason}`;
  if (!failure.log_tail) return element("p", {}, title);
  return element("details.failure", { open }, element("summary", {}, title),
    element("pre.code.wrap", { tabindex: 0, "aria-label": "Last output of the worker" }, failure.log_tail));
}

// ---- live sign -----------------------------------------------------------------------------------------------------

function drawSign() {
  const box = bound("sign");
  const [state, word, tail] = signText();
  box.dataset.state = state;
  setText(box.querySelector("b"), word);
  setText(bound("age"), tail);
}

function signText() {
  const seconds = Math.round((Date.now() - updatedAt) / 1000);
  const age = `, updated ${seconds < 60 ? `${seconds} s` : duration(seconds)} ago`;
  if (sign.sign === "refused") return ["refused", "Stopped", `: you are ${sign.why}`.replace("you are gone", "it is gone")];
  if (sign.sign === "paused") return ["paused", "Paused", age];
  if (sign.sign === "reconnecting") {
    const wait = Math.max(1, Math.round(((sign.retryAt || Date.now()) - Date.now()) / 1000));
    return ["reconnecting", "Reconnecting", ` in ${wait} s`];
  }
  if (sign.sign === "connecting") return ["connecting", "Connecting", ""];
  if (hasEnded(current)) return ["ended", WORDS[current.status], current.finished ? ` ${clock(current.finished)}` : ""];
  return ["live", "Live", age];
}

/** The number beside a tab's title. */
export function drawCount(tab, value) {
  const box = bound(`${tab}-count`);
  setHidden(box, !value);
  if (value) setText(box, value < 10_000 ? count(value) : `${Math.round(value / 1000)}k`);
}

function announce(state) {
  const now = Date.now();
  if (now - announcedAt < ANNOUNCE && bound("announcement").dataset.status === state.status) return;
  announcedAt = now;
  const box = bound("announcement");
  box.dataset.status = state.status;
  const parts = state.stages.map((stage) => `${titleOf(stage)} ${count(stage.done)} of ${count(stage.total)}`);
  setText(box, `${WORDS[state.status]}. ${parts.join(", ")}.`);
}

// ---- actions -------------------------------------------------------------------------------------------------------

const pauseButton = document.querySelector("[data-pause]");
pauseButton.addEventListener("click", () => {
  const paused = pauseButton.getAttribute("aria-pressed") !== "true";
  const label = paused ? "Resume updates" : "Pause updates";
  pauseButton.setAttribute("aria-pressed", paused);
  pauseButton.setAttribute("aria-label", label);
  pauseButton.title = label;
  pauseButton.replaceChildren(icon(paused ? "play" : "pause"));
  connection.pause(paused);
});

document.addEventListener("click", (event) => {
  const menu = document.querySelector("[data-menu][open]");
  if (menu && !event.target.closest("summary")) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = document.querySelector("[data-menu][open]");
  if (event.key === "Escape" && menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

onState(drawHeader);
setInterval(() => { if (!document.hidden) { drawSign(); drawFacts(current); } }, 1000);
drawSign();
connection.start();
