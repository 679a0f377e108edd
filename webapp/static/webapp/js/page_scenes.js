// The Overview tab of a scene experiment.

import { bound, element, setHidden, setText } from "./dom.js";
import { count } from "./format.js";
import { onState } from "./live.js";
import { queueText } from "./waiting.js";
import { latestLines } from "./log.js";
import { addressOf, drawStrip, factsOf, mountStage, stateText } from "./scene_stage.js";
import { mountSceneData } from "./scenes_data.js";
import { mountLosses } from "./scenes_losses.js";
import { mountScores } from "./scenes_scores.js";
import { newest, STAGES } from "./scenes_state.js";

const STRIP = 8;
const VIEWS = 3;
const panel = (id) => document.getElementById(id);

function trainText(state, stage) {
  const { status, kind } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["Nothing was trained", "The experiment ended before the first step."];
  if (!kind.data) return ["Reading the data", "Every picture and camera is checked, and packed for training."];
  return stage ? ["No step yet", `The ${STAGES[stage].toLowerCase()} is trained after the stages before it.`] : ["No step yet", "The first point comes within seconds."];
}

/** Why there is no scene yet. */
function sceneText(state) {
  const { status, kind, stages } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["No scene was drawn", "The experiment ended before its model was trained."];
  const now = stages.find((stage) => stage.state === "running")?.name;
  if (now === "sample") return ["The first scene is being drawn", "It shows up here as it forms: first the coarse shape, then the detail."];
  const left = Object.keys(STAGES).filter((name) => !kind.runs.find((run) => run.stage === name)?.stopped).map((name) => STAGES[name].toLowerCase());
  return ["Training first", left.length ? `Scenes are drawn when these are trained: ${left.join(", ")}.` : "Scenes are drawn next."];
}

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

function mountViews(box) {
  const body = box.querySelector("[data-body]");
  let drawn = "";
  return ({ kind, status }) => {
    const shown = kind.views.slice(0, VIEWS);
    const signature = JSON.stringify([shown, status]);
    if (signature === drawn) return;
    drawn = signature;
    setText(box.querySelector("[data-sub]"), shown.length ? `picture, rendered, depth; as of step ${count(shown[0].step)}` : "picture, rendered, depth");
    if (!shown.length) {
      const waits = status === "queued" || status === "running";
      body.replaceChildren(element("div.state", { "data-state": "empty" }, element("h2", {}, waits ? "No view yet" : "No view was rendered"), element("p", {}, waits ? "While the scene auto-encoder trains, it renders views it never saw beside the pictures they stand for." : "The experiment ended before one was.")));
      return;
    }
    const picture = (view, part, alt) => element("img", { src: body.dataset.url.replace("0-input@0", `${view.index}-${part}@${view.step}`), alt, width: 128, height: 128, loading: "lazy" });
    body.replaceChildren(element("div.views", {}, ...shown.map((view) => element("figure.view-row", {},
      picture(view, "input", `Picture of ${view.scene}, view ${view.view}`), picture(view, "picture", `The same view rendered: ${view.psnr.toFixed(1)} dB`), picture(view, "depth", "Its rendered depth"),
      element("figcaption", {}, element("b", {}, `${view.scene}, view ${view.view}`), element("span", {}, `${view.psnr.toFixed(1)} dB`))))));
  };
}

if (panel("loss")) onState(mountLosses(panel("loss"), trainText));
if (panel("scene")) onState(mountScene(panel("scene")));
if (panel("views")) onState(mountViews(panel("views")));
if (panel("scores")) onState(mountScores(panel("scores")));
if (bound("data")) onState(mountSceneData(bound("data"))); // the page of one shared chart has nothing else
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
