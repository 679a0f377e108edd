// The panel that shows one scene in 3D: which scene, its viewer, what is said about it. The viewer itself is <canopy-scene>.

import { element, iconsUrl, setText } from "./dom.js";
import { keepView } from "./scene_view.js";
import { score } from "./scenes_state.js";

const REFRESH = 1500; // ms between two looks at a scene that forms

/** The address of a scene's manifest or poster, from a pattern with 0 in the place of the number. */
export const addressOf = (pattern, number) => pattern.replace(/0(?=\.(json|jpg)$)/, String(number));

/**
 * Keep a panel with a [data-viewer] box. `patterns`: {manifest, poster}. Returns {show(scene), number, viewer}: show swaps
 * the viewer's scene, or lets it look again where the scene has more to show.
 */
export function mountStage(panel, patterns) {
  const body = panel.querySelector("[data-viewer]");
  let shown = Number(panel.dataset.number) || 0;
  let told = "";
  let asked = 0;
  keepView(body.querySelector("canopy-scene"));

  function make(scene) {
    const made = element("canopy-scene.viewer", { src: addressOf(patterns.manifest, scene.number), label: `Scene ${scene.number}`, "data-icons": iconsUrl() },
      scene.state === "drawn" ? element("img.scene-poster", { src: addressOf(patterns.poster, scene.number), alt: `Scene ${scene.number}, a picture` }) : null);
    keepView(made);
    body.replaceChildren(made);
    return made;
  }

  function show(scene) {
    const viewer = body.querySelector("canopy-scene");
    const signature = `${scene.number} ${scene.state} ${scene.previews.length}`;
    if (signature === told) return;
    const isOther = scene.number !== shown;
    const first = told === "" && !isOther && viewer;
    told = signature;
    shown = scene.number;
    panel.dataset.number = String(scene.number);
    setText(panel.querySelector("[data-title]"), `Scene ${scene.number}`);
    if (!viewer) make(scene);
    else if (isOther) {
      viewer.querySelector(".scene-poster")?.removeAttribute("hidden");
      viewer.setAttribute("label", `Scene ${scene.number}`);
      viewer.setAttribute("src", addressOf(patterns.manifest, scene.number));
    } else if (!first) {
      clearTimeout(asked);
      asked = setTimeout(() => viewer.refresh(), scene.state === "drawn" ? 0 : REFRESH);
    }
  }

  return { show, get number() { return shown; }, get viewer() { return body.querySelector("canopy-scene"); } };
}

/** A scene's tile in a strip. */
export function tileOf(scene, url, poster, isShown) {
  const picture = scene.state === "drawn" ? element("img", { src: poster, alt: "", loading: "lazy", width: 256, height: 192 }) : element("span.skeleton", { "aria-hidden": "true" });
  const words = scene.state === "drawn" ? `seed ${scene.seed}` : stateText(scene);
  return element("a.tile", { href: url, "data-number": scene.number, "aria-current": isShown ? "true" : null }, picture, element("span.tile-text", {}, element("b", {}, `Scene ${scene.number}`), element("span", {}, words)));
}

export function stateText({ state, status, previews, reason }) {
  if (status === "failed") return reason || "failed";
  if (status === "cancelled") return "cancelled";
  if (state === "drawing") return previews.at(-1)?.label || "being drawn";
  return state === "drawn" ? "drawn" : "waiting";
}

const GROUPS = { g: "global", c: "coarse", f: "fine" };

/** How it was drawn, in a line. */
export function factsOf({ settings, values, operation, parent, other }) {
  const groups = Object.entries(settings).filter(([name, how]) => GROUPS[name] && how?.steps);
  const steps = groups.map(([name, { steps, guidance }]) => `${GROUPS[name]} ${steps} steps${guidance === 1 ? "" : `, guidance ${guidance}`}`);
  const from = parent ? `from scene ${parent}${other ? ` and ${other}` : ""}` : "";
  return [operation === "new" ? "" : operation, from, ...steps, values.seconds ? `drawn in ${score(values.seconds)} s` : ""].filter(Boolean).join("; ");
}

/** Fill a strip of tiles, only where something changed. */
export function drawStrip(strip, scenes, { url, poster, shown, emptyText }) {
  const signature = JSON.stringify([shown, emptyText, scenes.map(({ number, state, status, previews }) => [number, state, status, previews.length])]);
  if (strip.dataset.signature === signature) return;
  strip.dataset.signature = signature;
  if (!scenes.length) { strip.replaceChildren(element("p.muted", {}, emptyText)); return; }
  const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.number : null;
  strip.replaceChildren(...scenes.map((scene) => tileOf(scene, url(scene.number), poster(scene.number), scene.number === shown)));
  if (focused) strip.querySelector(`[data-number="${focused}"]`)?.focus();
}

