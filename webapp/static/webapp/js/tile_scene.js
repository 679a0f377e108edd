// A 3D scene on a board: the newest, or one that was chosen. It is a picture until somebody opens it, so a board full of
// scenes holds no WebGL context.

import { element, iconsUrl, setHidden, setText } from "./dom.js";
import { addressOf, factsOf } from "./scene_stage.js";
import { drawn } from "./scenes_state.js";
import { keepView } from "./scene_view.js";
import { sceneText } from "./scenes_waiting.js";

export function mountSceneTile(panel, live) {
  const body = panel.querySelector("[data-viewer]");
  const select = panel.querySelector("[data-scene]");
  const link = panel.querySelector("[data-open-scene]");
  const { manifest, poster } = body.dataset;
  const scenesUrl = link?.getAttribute("href");
  const isCopy = manifest && !link; // frozen: nothing leads back to what changes, and a scene's files do not
  let told = "";
  let state = null;

  select.addEventListener("change", () => {
    live.view.set("scene", select.value || null);
    live.view.set("view", null);
    draw();
  });
  live.onState((now) => { state = now; draw(); });

  function draw() {
    const scenes = drawn(state.kind.scenes).sort((a, b) => a.number - b.number);
    const chosen = Number(live.view.get("scene")) || 0;
    const number = chosen || scenes.at(-1)?.number || 0;
    const signature = JSON.stringify([number, scenes.length, number ? "" : sceneText(state)]);
    if (signature === told) return;
    told = signature;
    const scene = scenes.find((each) => each.number === number); // the state has the newest scenes only
    offer(scenes, chosen);
    setText(panel.querySelector("[data-title]"), number ? `Scene ${number}` : "3D scene");
    setText(panel.querySelector("[data-sub]"), scene ? `seed ${scene.seed}` : "");
    setText(panel.querySelector("[data-foot]"), [scene ? factsOf(scene) : "", isCopy && number ? "the files stay with the experiment" : ""].filter(Boolean).join("; "));
    if (link) link.href = number ? `${scenesUrl}?at=${number}` : scenesUrl;
    if (!manifest) say("No 3D here", "A link to a board shows none of its scenes. A scene has a link of its own.");
    else if (!number) say(...sceneText(state));
    else if (!customElements.get("canopy-scene")) say(`Scene ${number}`, "It can be opened when the board is saved.");
    else if (body.dataset.number !== String(number)) show(number);
    body.dataset.number = number;
  }

  function offer(scenes, chosen) {
    setHidden(select.parentElement, !scenes.length);
    const numbers = scenes.map(({ number }) => number).reverse();
    if (chosen && !numbers.includes(chosen)) numbers.push(chosen);
    select.replaceChildren(element("option", { value: "" }, "Newest"), ...numbers.map((each) => element("option", { value: each }, `Scene ${each}`)));
    select.value = chosen || "";
  }

  /** Who has opened a scene sees the next one in 3D, too. */
  function show(number) {
    const before = body.querySelector("canopy-scene");
    const made = element("canopy-scene.viewer", { src: addressOf(manifest, number), label: `Scene ${number}`, "data-icons": iconsUrl(), "on-demand": !before || before.hasAttribute("on-demand") },
      element("img.scene-poster", { src: addressOf(poster, number), alt: `Scene ${number}, a picture` }));
    keepView(made, live.view);
    body.replaceChildren(made);
  }

  function say(title, why) {
    body.replaceChildren(element("div.no-scene", {}, element("div.state", {}, element("h2", {}, title), element("p", {}, why))));
  }
}
