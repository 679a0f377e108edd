// The tiles with the key figures of a detection experiment.

import { element, setText, svg } from "./dom.js";
import { degrees, planOf } from "./detection_parts.js";
import { at, leader, lost, lower, METRICS, points, scoreLines, signed, smoothed, spread } from "./detection_state.js";
import { count } from "./format.js";

const METRIC = "ap75"; // the damage of loose labels hardly shows at IoU 0.5
const LARGEST = 30; // degrees: the paper's last test angle, used where it was tested

/** `box` holds the tiles; returns draw(state). */
export function mountKpis(box) {
  const plan = planOf(box);
  const tile = (name) => box.querySelector(`[data-kpi="${name}"]`);

  function fill(name, value, unit, note, { label = "", slot = 0 } = {}) {
    const box = tile(name);
    const target = box.querySelector(".kpi-value");
    const text = `${value}|${unit}`;
    if (target.dataset.text !== text) {
      target.dataset.text = text;
      target.replaceChildren(value, ...(unit ? [element("small", {}, unit)] : []));
    }
    const line = box.querySelector(".kpi-note");
    const [words, direction] = [].concat(note || "\u00a0");
    if (line.dataset.text !== words) {
      line.dataset.text = words;
      line.title = words.trim();
      line.replaceChildren(direction ? element("span.delta", { "data-dir": direction }, words) : words);
    }
    if (label) setText(box.querySelector(".kpi-label"), label);
    if (slot) box.className = `kpi lead c${slot}`;
  }

  function spark(name, values, slot = 8) {
    const drawing = tile(name).querySelector(".spark");
    if (values.length < 3) { drawing.replaceChildren(); return; }
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    const path = values.map((value, i) => `${((64 * i) / (values.length - 1)).toFixed(1)} ${(22 - (20 * (value - low)) / range).toFixed(1)}`).join("L");
    drawing.setAttribute("class", `spark c${slot}`);
    drawing.replaceChildren(svg("path", { class: "area", d: `M${path}L64 24L0 24Z` }), svg("path", { class: "line", d: `M${path}` }));
  }

  function drawScores(kind) {
    const lines = scoreLines(plan.methods, kind.scores, METRIC);
    const tested = lines.some((line) => at(line, LARGEST)) ? LARGEST : null;
    const best = leader(lines, tested);
    if (!best) { drawSoFar(kind); return; }
    const end = tested && at(best, tested) ? tested : best.points.at(-1).angle;
    const start = best.points[0];
    const others = lines.filter((line) => line !== best && !line.method.ceiling && line.method.architecture === best.method.architecture);
    const rival = others.find(({ method }) => method.rule === "none") || others.find(({ method }) => method.rule === "largest") || others[0];
    fill("upright", points(start.mean), "", against(start, rival && at(rival, start.angle), rival), { label: `${METRICS[METRIC]} at ${degrees(start.angle)}` });
    const last = at(best, end);
    fill("turned", points(last.mean), "", best.method.title, { label: `${METRICS[METRIC]} at ${degrees(end)}`, slot: best.method.slot });
    const drop = lost({ points: best.points.filter(({ angle }) => angle <= end) });
    const rivalDrop = rival && lost({ points: rival.points.filter(({ angle }) => angle <= end) });
    if (drop !== null) {
      const note = rivalDrop === null || rivalDrop === undefined ? best.method.title : `${signed(-rivalDrop)} with ${lower(rival.method.short)}`;
      fill("lost", points(Math.abs(drop)), "points", note, { label: `${drop < 0 ? "Gained" : "Lost"} from ${degrees(start.angle)} to ${degrees(end)}` });
    }
    spark("turned", best.points.map(({ mean }) => mean), best.method.slot);
  }

  function against(point, other, rival) {
    if (!other) return "";
    const gap = point.mean - other.mean;
    const word = lower(rival.method.short);
    if (Math.abs(gap) < 0.0005) return `level with ${word}`;
    return [`${gap > 0 ? "▲" : "▼"} ${signed(gap)} to ${word}`, gap > 0 ? "better" : "worse"];
  }

  /** Before any test: the best average precision on the validation images. */
  function drawSoFar({ runs }) {
    const best = runs.filter(({ best_ap: ap }) => ap !== null).sort((a, b) => b.best_ap - a.best_ap)[0];
    if (!best) return;
    const method = plan.methods.find((each) => each.runs.includes(best.index));
    fill("upright", points(best.best_ap), "", `${method.title}, epoch ${best.best_epoch}`, { label: "Best AP so far, validation" });
  }

  function drawTraining({ kind, status }) {
    const { runs, epochs } = kind;
    const trained = runs.filter(({ stopped }) => stopped).length;
    const active = status === "running" ? runs.filter(({ stopped, progress }) => !stopped && progress.step) : [];
    const losses = (active.length ? active.map(({ progress }) => progress.loss) : []).filter(Number.isFinite);
    const byEpoch = new Map();
    for (const row of epochs) if (Number.isFinite(row.loss)) byEpoch.set(row.epoch, [...(byEpoch.get(row.epoch) || []), row.loss]);
    const curve = [...byEpoch].sort(([a], [b]) => a - b).map(([, values]) => spread(values).mean);
    const loss = losses.length ? spread(losses).mean : curve.at(-1);
    if (loss !== undefined) fill("loss", loss.toPrecision(3), "", losses.length ? nowText(active) : "mean of the last epochs");
    spark("loss", smoothed(curve));
    const rates = active.length ? active.map(({ progress }) => progress.images_per_second) : epochs.map((row) => row.images_per_second).filter(Number.isFinite);
    if (rates.length) fill("speed", count(active.length ? rates.reduce((sum, rate) => sum + rate, 0) : spread(rates).mean), "img/s", active.length ? `${active.length} run${active.length === 1 ? "" : "s"} training now` : "mean of a run while it trained");
    const epochsDone = runs.reduce((sum, run) => sum + run.epochs, 0);
    if (runs.length) fill("runs", count(trained), `of ${count(runs.length)}`, `${count(epochsDone)} epochs, ${plan.methods.length} method${plan.methods.length === 1 ? "" : "s"}`);
  }

  const nowText = (active) => (active.length === 1 ? `epoch ${active[0].progress.epoch} of ${active[0].progress.epochs}` : `mean of ${active.length} runs now`);

  return (state) => { drawScores(state.kind); drawTraining(state); };
}
