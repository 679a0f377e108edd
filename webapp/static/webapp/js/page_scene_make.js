// The Make tab: draw a scene with other steps and guidance, follow a drawn map, draw a box anew, vary, join, restyle.

import { element, remember, setHidden, setText } from "./dom.js";
import { duration } from "./format.js";
import { getState, onState } from "./live.js";
import { mountPainter } from "./map_painter.js";
import { addressOf, drawStrip, factsOf, mountStage, stateText } from "./scene_stage.js";
import { mean, score } from "./scenes_state.js";

const STRIP = 8;
const NEEDS = { // what each operation asks for
  new: ["mapped"], inpaint: ["scene", "box", "mapped"], vary: ["scene", "strength", "mapped"], join: ["scene", "other"], style: ["scene", "image"], improve: ["scene"],
};
const HELP = {
  new: "A scene of its own, from the seed.", inpaint: "What stands in the box is drawn anew; the rest stays.", vary: "The scene is noised up to the strength and drawn from there.",
  join: "The right half of the first and the left half of the second, drawn anew around the seam.", style: "The scene's shape with the colours of a picture.",
  improve: "The scene's latents are optimised against the diffusion model; takes minutes.",
};
const EDGES = ["left", "top", "right", "bottom"];

const form = document.querySelector("[data-make]");
if (form) mount(JSON.parse(document.getElementById("make-data").textContent));

function mount(data) {
  const panel = document.getElementById("scene");
  const stage = mountStage(panel, data.patterns);
  const mapPanel = document.querySelector("[data-for='map']");
  const error = form.querySelector("[data-error]");
  const button = form.querySelector("[type='submit']");
  const note = form.querySelector("[data-note]");
  let asked = null; // the number of the scene that was asked for last
  let askedAt = 0;
  let painter = null;

  const operation = () => form.elements.operation.value;
  const needs = (what) => NEEDS[operation()].includes(what);
  const mapped = () => Boolean(form.elements.mapped?.checked) && needs("mapped");

  function arrange() {
    for (const part of form.querySelectorAll("[data-for]")) setHidden(part, !needs(part.dataset.for));
    setText(form.querySelector("[data-op-help]"), HELP[operation()]);
    if (mapPanel) {
      setHidden(mapPanel, !mapped());
      if (mapped()) painter ||= mountPainter(mapPanel.querySelector("[data-painter]"));
      offerMap();
    }
    markBox();
  }

  // ---- the map of the scene that is shown ----

  const fromScene = mapPanel?.querySelector("[data-from-scene]");
  let mapUrl = "";
  let mapOf = 0;

  async function offerMap() {
    if (!mapped() || mapOf === stage.number) return;
    mapOf = stage.number;
    const answer = stage.number ? await fetch(addressOf(data.patterns.manifest, stage.number)).catch(() => null) : null;
    mapUrl = answer?.ok ? (await answer.json()).map : "";
    setHidden(fromScene, !mapUrl);
    setText(fromScene.querySelector("span"), `Map of scene ${stage.number}`);
  }

  fromScene?.addEventListener("click", () => painter.load(mapUrl));

  // ---- the box ----

  function boxOf() {
    const [left, top, right, bottom] = EDGES.map((name) => Number(form.elements[name].value) / 100);
    return { x0: Math.min(left, right), y0: Math.min(top, bottom), x1: Math.max(left, right), y1: Math.max(top, bottom) };
  }

  function markBox() {
    const { viewer } = stage;
    if (!viewer) return;
    viewer.toggleAttribute("box-editing", needs("box"));
    if (needs("box")) viewer.box?.set(boxOf(), false);
  }

  panel.addEventListener("boxchange", ({ detail }) => {
    const shares = [detail.x0, detail.y0, detail.x1, detail.y1];
    EDGES.forEach((name, i) => { form.elements[name].value = Math.round(100 * shares[i]); });
  });

  // ---- asking ----

  async function ask() {
    setHidden(error, true);
    button.setAttribute("aria-busy", "true");
    try {
      const body = new FormData(form);
      if (mapped()) {
        if (painter.isEmpty()) throw new Error("Draw a map first, or switch off “Follow a map”.");
        body.set("map", await painter.toBlob(), "map.png");
      }
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      asked = told.number;
      askedAt = Date.now();
      setText(note, `Scene ${asked} is asked for.`);
    } catch (problem) {
      setText(error.querySelector("span"), problem instanceof TypeError ? "The server did not take it. Check the connection and try again." : problem.message);
      setHidden(error, false);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); if (!button.hasAttribute("aria-busy")) ask(); });
  form.addEventListener("input", ({ target }) => {
    if (target.matches("[data-slider]")) setText(target.nextElementSibling, target.value);
    if (target.closest("[data-for='box']")) markBox();
  });
  form.addEventListener("change", ({ target }) => {
    if (target.name === "operation") { remember("op", target.value === "new" ? null : target.value); arrange(); }
    if (target.name === "mapped") arrange();
    if (target.name === "scene") look(Number(target.value));
    if (target.matches("[data-slider]") && form.querySelector("[data-at-once]").checked && !button.hasAttribute("aria-busy")) ask();
  });
  form.querySelector("[data-dice]").addEventListener("click", () => { form.elements.seed.value = Math.floor(Math.random() * 2 ** 31); });

  // ---- looking ----

  function look(number) {
    const scene = getState().kind.scenes.find((each) => each.number === number);
    if (!scene) return;
    stage.show(scene);
    remember("scene", String(number));
    draw(getState());
    markBox();
  }

  document.querySelector("[data-strip]").addEventListener("click", (event) => {
    const tile = event.target.closest("a.tile");
    if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const number = Number(tile.dataset.number || new URL(tile.href).searchParams.get("at"));
    const choice = form.elements.scene;
    if (choice && [...choice.options].some(({ value }) => Number(value) === number)) choice.value = String(number);
    look(number);
  });

  function draw({ kind }) {
    const { scenes } = kind;
    const wanted = asked && scenes.find(({ number }) => number === asked);
    if (wanted) tellWanted(wanted);
    const shown = scenes.find(({ number }) => number === stage.number);
    if (shown) {
      stage.show(shown);
      setText(panel.querySelector("[data-sub]"), shown.state === "drawn" ? factsOf(shown) : stateText(shown));
      const open = panel.querySelector("[data-open-scene]");
      open.href = `${data.scenes_url}?at=${shown.number}`;
      setHidden(open, false);
    }
    offerSources(scenes);
    offerMap();
    drawStrip(document.querySelector("[data-strip]"), scenes.slice(-STRIP).reverse(), {
      url: (number) => `${data.scenes_url}?at=${number}`, poster: (number) => addressOf(data.patterns.poster, number), shown: stage.number, emptyText: "No scene yet.",
    });
  }

  /** The scene that was asked for comes on the stage as soon as there is something to see. */
  function tellWanted(scene) {
    if (scene.status === "failed") {
      setText(error.querySelector("span"), `Scene ${scene.number} was not drawn. ${scene.reason}`);
      setHidden(error, false);
      setText(note, "");
      asked = null;
      return;
    }
    setText(note, `Scene ${scene.number}: ${stateText(scene)}${scene.state === "drawn" ? `, ${duration((Date.now() - askedAt) / 1000)} after it was asked for` : ""}`);
    if (scene.previews.length || scene.state === "drawn") {
      if (stage.number !== scene.number) { stage.show(scene); remember("scene", String(scene.number)); }
      if (scene.state === "drawn") asked = null;
    }
  }

  /** New scenes can be edited too. */
  function offerSources(scenes) {
    const names = ["scene", "other"].map((name) => form.elements[name]).filter(Boolean);
    for (const select of names) {
      const known = new Set([...select.options].map(({ value }) => Number(value)));
      for (const { number, seed, state } of scenes) if (state === "drawn" && !known.has(number)) select.prepend(element("option", { value: number }, `Scene ${number}, seed ${seed}`));
    }
    const count = scenes.filter(({ state }) => state === "drawn").length;
    for (const radio of form.querySelectorAll("[name='operation']:disabled")) if (count >= (radio.value === "join" ? 2 : 1)) radio.disabled = false;
    const pace = mean(scenes.map(({ values }) => values.seconds));
    if (pace !== null && !note.textContent) setText(note, `One takes about ${score(pace)} s on the worker that drew them.`);
  }

  arrange();
  onState(draw);
}

