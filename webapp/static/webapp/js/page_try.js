// "Try an image": one picture, turned with a slider, and what each method finds in it.

import { element, remember, setHidden, setText, svg, table } from "./dom.js";
import { methodName } from "./detection_parts.js";
import { drawCount, onState } from "./live.js";
import { mountPart } from "./parts.js";
import { mountScore } from "./score_slider.js";

const VIEW = 200; // units of a picture's side, as on the gallery's tiles
const LINE = 9;
const LETTER = 3.7;
const MOST_TAGS = 12;
const AGAIN = 1500; // ms between two looks at what a worker has found so far
const OVER = ["done", "failed", "cancelled"];

const part = document.querySelector("[data-browser]");
let redraw = () => {};
let shown = null; // the data on the page
let looking = false;

mountPart(part, (fresh) => {
  const data = fresh.querySelector("#try-data");
  shown = data ? JSON.parse(data.textContent) : null;
  redraw = shown ? mountTried(fresh.querySelector("#tried")) : () => {};
  mountScore(fresh);
});

function mountTried(panel) {
  const slider = panel.querySelector("[data-turn]");
  const tiles = panel.querySelector("[data-tried]");
  const holder = panel.querySelector("[data-table]");
  const listButton = panel.querySelector("[data-as-list]");
  const { angles } = shown;
  const asked = Number(new URLSearchParams(location.search).get("angle"));
  let asList = new URLSearchParams(location.search).get("view") === "table";
  slider.max = angles.length - 1;
  slider.value = Math.max(0, angles.indexOf(asked));

  function draw() {
    const angle = angles[Number(slider.value)];
    const key = String(angle);
    setText(panel.querySelector("[data-turned]"), `${angle}°`);
    slider.setAttribute("aria-valuetext", `${angle} degrees`);
    setText(panel.querySelector("[data-sub]"), statusText());
    listButton.setAttribute("aria-pressed", asList);
    setHidden(tiles, asList);
    setHidden(holder, !asList);
    if (asList) holder.replaceChildren(tableOf(key, angle));
    else tiles.replaceChildren(...shown.methods.map((method) => tileOf(method, key, angle)));
    mountScores(panel);
  }

  slider.addEventListener("input", draw);
  slider.addEventListener("change", () => remember("angle", Number(slider.value) ? String(angles[Number(slider.value)]) : null));
  listButton.addEventListener("click", () => { asList = !asList; remember("view", asList ? "table" : null); draw(); });
  draw();
  return draw;
}

/** The slider of scores hides boxes; those drawn anew start as it stands. */
function mountScores(panel) {
  const slider = panel.querySelector("[data-score-slider]");
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}

function statusText() {
  const found = shown.methods.reduce((sum, method) => sum + Object.keys(method.found).length, 0);
  const wanted = shown.methods.length * shown.angles.length;
  if (shown.state === "failed") return shown.reason || "the detectors failed on it";
  if (shown.state === "cancelled") return "cancelled";
  if (shown.state === "queued" || shown.state === "waiting") return "waits for a CPU worker";
  return found < wanted ? `detecting: ${found} of ${wanted}` : "";
}

function tileOf(method, key, angle) {
  const url = shown.pictures[key];
  const found = method.found[key];
  const title = element("span.tile-text", {}, methodName(method), element("span", { "data-count": "" }, found ? "" : "waiting"));
  if (!url || !found) return element("div.tile", {}, element("span.skeleton.try-wait", { "aria-hidden": "true" }), title);
  const scale = VIEW / Math.max(1, shown.size);
  const boxes = found.map((row, i) => boxOf(row, scale, i < MOST_TAGS));
  const label = `${method.title}: ${found.length} found in the picture turned by ${angle} degrees`;
  const picture = svg("svg", { class: "picture boxes", viewBox: `0 0 ${VIEW} ${VIEW}`, role: "img", "aria-label": label },
    svg("image", { href: url, width: VIEW, height: VIEW }), ...boxes);
  return element("div.tile", {}, picture, title);
}

function nameOf(label) {
  return shown.classes[label] || `class ${label + 1}`;
}

function boxOf([label, score, ...corners], scale, tagged) {
  const [x1, y1, x2, y2] = corners.map((value) => value * scale);
  const text = `${nameOf(label)} ${score.toFixed(2)}`;
  const width = LETTER * text.length + 4;
  const x = Math.max(0, Math.min(x1, VIEW - width));
  const y = y1 >= LINE ? y1 - LINE : y1;
  return svg("g", { class: "found plain", "data-score": score },
    svg("rect", { class: "pred", x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) }, svg("title", {}, text)),
    ...(tagged ? [svg("rect", { class: "tag", x, y, width, height: LINE }), svg("text", { x, dx: 2, y: y + LINE - 2.2 }, text)] : []));
}

function tableOf(key, angle) {
  const rows = shown.methods.flatMap((method) => (method.found[key] || []).map(([label, score, ...box]) => {
    const cells = [method.title, nameOf(label), score.toFixed(2), ...box.map((value) => value.toFixed(0))];
    return { cells, score };
  }));
  const made = table(`What each method finds in the picture turned by ${angle} degrees`, ["Method", "Class", "Score", "Left", "Top", "Right", "Bottom"], rows.map(({ cells }) => cells));
  [...made.tBodies[0].rows].forEach((row, i) => { row.dataset.score = rows[i].score; });
  return made;
}

/** While a worker is at it: fetch the part, take its data alone, so that the slider under the hand stays. */
async function look() {
  looking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Part": "browser" } });
    if (answer.ok && !answer.redirected) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const data = parsed.getElementById("try-data");
      if (data) { shown = JSON.parse(data.textContent); redraw(); }
    }
  } catch { /* the next look may do */ }
  setTimeout(() => { looking = false; if (shown && !OVER.includes(shown.state)) look(); }, AGAIN);
}

onState(({ kind }) => {
  drawCount("try", kind.tries.length);
  if (shown && !OVER.includes(shown.state) && !looking) look();
});
