// The Scenes tab.

import { remember } from "./dom.js";
import { count } from "./format.js";
import { getState, onState } from "./live.js";
import { mountPart } from "./parts.js";

const part = document.querySelector("[data-browser]");
let seen = null; // scenes there were when the gallery was made

const show = mountPart(part, (fresh) => {
  seen = getState().kind.counts.drawn;
  fresh.querySelector("[data-apply]").hidden = true;
  const viewer = fresh.querySelector("canopy-scene");
  if (viewer) {
    const view = new URLSearchParams(location.search).get("view");
    if (view) viewer.setAttribute("view", view);
    viewer.addEventListener("camerachange", ({ detail }) => remember("view", detail.view || null));
  }
  offer(getState());
});

/** New scenes never move what is being looked at: a button says how many there are. */
function offer({ kind }) {
  const button = part.querySelector("[data-new]");
  button.hidden = kind.counts.drawn <= seen;
  button.querySelector("span").textContent = `${count(kind.counts.drawn - seen)} new`;
}

/** The scene in full grows while it is drawn. */
let told = "";
function follow({ kind }) {
  const panel = part.querySelector("[data-shown]");
  if (!panel || panel.dataset.state === "drawn") return;
  const scene = kind.scenes.find(({ number }) => number === Number(panel.dataset.number));
  if (!scene) return;
  const signature = `${scene.number} ${scene.state} ${scene.previews.length}`;
  if (signature === told) return;
  told = signature;
  if (scene.state !== panel.dataset.state) show(location.href, { push: false });
  else panel.querySelector("canopy-scene")?.refresh();
}

part.addEventListener("click", (event) => { if (event.target.closest("[data-new]")) show(location.href, { push: false }); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog, canopy-scene")) return;
  const target = { j: "[data-next]", k: "[data-previous]", Escape: "[data-close-shown]" }[event.key];
  if (target) part.querySelector(target)?.click();
});

onState(offer);
onState(follow);
