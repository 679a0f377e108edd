// The bell beside the live sign: a notification of the browser when the experiment ends while its page is in the
// background. The choice holds for every experiment's page of this browser.

import { icon } from "./dom.js";
import { hasEnded } from "./state.js";

const KEY = "notify";
const WORDS = { finished: "has finished", failed: "has failed", cancelled: "was cancelled" };
const root = document.getElementById("live");
const button = document.querySelector("[data-notify]");
const known = typeof Notification !== "undefined";
let ended = root.dataset.status;

const wanted = () => { try { return localStorage.getItem(KEY) === "on"; } catch { return false; } };
const isOn = () => known && wanted() && Notification.permission === "granted";

function mark() {
  const denied = known && Notification.permission === "denied";
  const label = denied ? "Notifications of this site are blocked in the browser's settings" : isOn() ? "You are told when it ends" : "Tell me when it ends";
  button.setAttribute("aria-pressed", String(isOn()));
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon(denied ? "slash" : isOn() ? "check" : "bell"));
}

async function toggle() {
  const on = !isOn();
  if (on && Notification.permission === "default") await Notification.requestPermission();
  try { localStorage.setItem(KEY, on ? "on" : "off"); } catch { /* private window: nothing is remembered */ }
  mark();
}

function tell(state) {
  const before = ended;
  ended = state.status;
  if (!hasEnded(state) || hasEnded({ status: before }) || !document.hidden || !isOn()) return;
  const note = new Notification(`${state.name} ${WORDS[state.status]}`, { body: state.reason || "Its page has the results.", tag: location.pathname });
  note.addEventListener("click", () => { window.focus(); note.close(); });
}

if (known) {
  button.addEventListener("click", toggle);
  root.addEventListener("state", (event) => tell(event.detail));
  mark();
} else {
  button.remove(); // nothing can be told on this device
}
