// The Scenes tab.

import { count } from "./format.js";
import { getState, onState } from "./live.js";
import { mountPart } from "./parts.js";
import { keepView } from "./scene_view.js";

const part = document.querySelector("[data-browser]");
let seen = null; // scenes there were when the gallery was made

const show = mountPart(part, (fresh) => {
  seen = getState().kind.counts.drawn;
  fresh.querySelector("[data-apply]").hidden = true;
  keepView(fresh.querySelector("canopy-scene"));
  offer(getState());
});

/** New scenes never move what is being looked at: a button says how many there are. */
function offer({ kind }) {
  const button = part.querySelector("[data-new]");
  button.hidden = kind.counts.drawn <= seen;
  button.querySelector("span").textContent = `${count(kind.counts.drawn - seen)} new`;
}

/** The scene in full grows while it is drawn, and its files come after it. */
let told = "";
function follow({ kind, artifacts }) {
  const panel = part.querySelector("[data-shown]");
  const scene = panel && kind.scenes.find(({ number }) => number === Number(panel.dataset.number));
  if (!scene) return;
  const kept = new Set(artifacts.map(({ name }) => name));
  const files = (scene.values.downloads || []).filter(({ name }) => kept.has(name)).length;
  const signature = `${scene.number} ${scene.state} ${scene.previews.length} ${files}`;
  if (signature === told) return;
  told = signature;
  if (panel.dataset.state === "asked" && scene.state !== "asked") show(location.href, { push: false });
  else if (scene.state !== panel.dataset.state || files !== Number(panel.dataset.files)) renew(panel);
  if (panel.dataset.state === "drawing") panel.querySelector("canopy-scene")?.refresh();
}

/** What is written beside the viewer, fetched anew: the viewer stays as it is. */
async function renew(panel) {
  const answer = await fetch(location.href, { headers: { "X-Part": "browser" } }).catch(() => null);
  if (!answer?.ok || answer.redirected || !panel.isConnected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-shown]");
  if (fresh?.dataset.number !== panel.dataset.number) return;
  panel.querySelector(".made-side").replaceChildren(...fresh.querySelector(".made-side").childNodes);
  Object.assign(panel.dataset, { state: fresh.dataset.state, files: fresh.dataset.files });
}

part.addEventListener("click", (event) => { if (event.target.closest("[data-new]")) show(location.href, { push: false }); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog, canopy-scene")) return;
  const target = { j: "[data-next]", k: "[data-previous]", Escape: "[data-close-shown]" }[event.key];
  if (target) part.querySelector(target)?.click();
});

onState(offer);
onState(follow);
