// The Overview tab of a scene experiment.

import { bound, setHidden, setText } from "./dom.js";
import { onState } from "./live.js";
import { latestLines } from "./log.js";
import { addressOf, drawStrip, factsOf, mountStage, stateText } from "./scene_stage.js";
import { mountSceneData } from "./scenes_data.js";
import { mountLosses } from "./scenes_losses.js";
import { mountScores } from "./scenes_scores.js";
import { newest } from "./scenes_state.js";
import { mountViews } from "./scenes_views.js";
import { sceneText, trainText } from "./scenes_waiting.js";

const STRIP = 8;
const VIEWS = 3;
const panel = (id) => document.getElementById(id);

function mountScene(box) {
  const body = box.querySelector("[data-viewer]");
  const patterns = { manifest: body.dataset.url, poster: body.dataset.poster };
  const stage = mountStage(box, patterns);
  const button = box.querySelector("[data-newest]");
  let chosen = false; // somebody chose a scene: newer ones do not take its place
  let current = null;
  button.addEventListener("click", () => { chosen = false; draw(current); });
  panel("gallery").addEventListener("click", (event) => {
    const tile = event.target.closest("a.tile");
    if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const scene = current.kind.scenes.find(({ number }) => number === Number(tile.dataset.number));
    if (scene.state === "asked") return;
    event.preventDefault();
    chosen = true;
    see(scene);
    draw(current);
  });

  function see(scene) {
    stage.show(scene);
    setText(box.querySelector("[data-sub]"), scene.state === "drawn" ? `seed ${scene.seed}` : stateText(scene));
    setText(box.querySelector("[data-facts]"), factsOf(scene));
    box.querySelector("[data-open-scene]").href = `${body.dataset.scenes}?at=${scene.number}`;
  }

  function draw(state) {
    current = state;
    const { scenes } = state.kind;
    const latest = newest(scenes);
    const shown = (chosen && scenes.find(({ number }) => number === stage.number)) || latest;
    if (shown) see(shown);
    else wait(state);
    setHidden(button, !latest || latest.number === shown.number);
    drawStrip(panel("gallery").querySelector("[data-strip]"), scenes.slice(-STRIP).reverse(), {
      url: (number) => `${body.dataset.scenes}?at=${number}`, poster: (number) => addressOf(patterns.poster, number), shown: shown?.number, emptyText: "No scene yet.",
    });
  }

  function wait(state) {
    const place = body.querySelector("[data-scene-wait]");
    if (!place) return;
    const [title, why] = sceneText(state);
    setText(place.querySelector("h2"), title);
    setText(place.querySelector("p"), why);
  }
  return draw;
}

if (panel("loss")) onState(mountLosses(panel("loss"), trainText));
if (panel("scene")) onState(mountScene(panel("scene")));
if (panel("views")) onState(mountViews(panel("views"), VIEWS));
if (panel("scores")) onState(mountScores(panel("scores")));
if (bound("data")) onState(mountSceneData(bound("data"))); // the page of one shared chart has nothing else
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
