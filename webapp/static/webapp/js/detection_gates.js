// The RU loss at work: the share of positives left alone, by how far their image was turned from upright. The band of a
// right angle is regressed nearly always; away from it the share that is left alone grows as the detector learns.

import { element, setHidden, setText } from "./dom.js";
import { legendItem, pick, planOf, shareAxis, symbolOf } from "./detection_parts.js";
import { spread } from "./detection_state.js";
import { bandedLine, currentLook, escapeText, mountFigure, plotLayout } from "./figure.js";
import { count, percent } from "./format.js";
import { drawWait } from "./waiting.js";
import { hasEnded } from "./state.js";

const AGAIN = 15_000; // ms between two questions at least: the counts are too many for the live state

/** `load()`: a promise of what the loss decided, by run. */
export function mountGates(panel, load) {
  const methods = planOf(panel).methods.filter(({ gated }) => gated);
  const select = panel.querySelector("[data-loss]");
  const view = { state: null, loss: null, rows: [] };
  let asked = { at: 0, epochs: 0 };
  const redraw = mountFigure(panel, "gates", (plot) => draw(plot));
  let names = "";

  function draw(plot) {
    if (!view.state) return null;
    const lines = linesOf(methods, view.rows, view.loss);
    panel.querySelector("[data-legend]").replaceChildren(...lines.map(({ method }) => legendItem(method)));
    setText(panel.querySelector("[data-sub]"), lines.length ? `in the newest epoch, ${lines.map(({ epoch }) => epoch).sort((a, b) => b - a)[0]}` : "");
    if (!lines.length) { drawWait(panel.querySelector("[data-wait]"), view.state, waitText(view.state, methods), { priority: false }); return null; }
    return figureOf(plot, lines);
  }

  function offer() {
    const found = [...new Set(view.rows.flatMap(({ gates }) => Object.keys(gates)))];
    if (found.join() !== names) {
      names = found.join();
      select.replaceChildren(...found.map((name) => element("option", { value: name }, name.replaceAll("_", " "))));
      if (!select.dataset.listens) { select.dataset.listens = "1"; pick(select, "gate", (value) => { view.loss = value; redraw(); }); }
      view.loss = select.value;
    }
    setHidden(select.parentElement, found.length < 2);
    redraw();
  }

  async function ask(epochs) {
    asked = { at: Date.now(), epochs };
    try {
      view.rows = (await load()).rows;
      offer();
    } catch { /* the next epoch asks again */ }
  }

  return (state) => {
    view.state = state;
    const epochs = state.kind.runs.reduce((sum, run) => sum + run.epochs, 0);
    const due = Date.now() - asked.at > AGAIN || hasEnded(state);
    if (methods.length && epochs !== asked.epochs && due) ask(epochs);
    redraw();
  };
}

function waitText({ status }, methods) {
  if (!methods.length) return ["No RU loss in this experiment", "Add a rule with RU loss to see which labels it leaves alone."];
  if (status === "queued" || status === "running") return ["After the first epoch", "It shows up once a run with RU loss has finished an epoch."];
  return ["No epoch was finished", "There is nothing to show."];
}

/** The mean over a method's seeds: [{method, epoch, buckets: [{from, to, mean, sd, positives}]}]. `found`: each run's newest epoch. */
function linesOf(methods, found, loss) {
  const newest = new Map(found.filter(({ gates }) => gates[loss]).map((row) => [row.run, row]));
  return methods.flatMap((method) => {
    const rows = method.runs.map((run) => newest.get(run)).filter(Boolean);
    if (!rows.length) return [];
    const buckets = rows[0].gates[loss].map(([from, to], i) => {
      const cells = rows.map((row) => row.gates[loss][i]);
      const found = spread(cells.filter(([, , positives]) => positives).map(([, , positives, regressed]) => 1 - regressed / positives));
      return { from, to, positives: cells.reduce((sum, [, , positives]) => sum + positives, 0), ...found };
    }).filter(({ positives }) => positives);
    return buckets.length ? [{ method, epoch: Math.max(...rows.map(({ epoch }) => epoch)), buckets }] : [];
  });
}

function figureOf(plot, lines) {
  const look = currentLook();
  const traces = lines.flatMap(({ method, buckets }) => {
    const several = buckets.some(({ sd }) => sd !== null);
    const made = bandedLine({
      x: buckets.map(({ from, to }) => (from + to) / 2), y: buckets.map(({ mean }) => mean), colour: look.c[method.slot], dash: method.dash, markers: true,
      lo: several ? buckets.map(({ mean, sd }) => Math.max(0, mean - (sd || 0))) : null, hi: several ? buckets.map(({ mean, sd }) => Math.min(1, mean + (sd || 0))) : null,
      custom: buckets.map(({ from, to, positives }) => [`${from} to ${to}`, count(positives)]),
      hover: `<b>${escapeText(method.title)}</b><br>%{customdata[0]}° from a right angle<br>%{y:.1%} left alone of %{customdata[1]}`,
    });
    made.at(-1).marker = { ...made.at(-1).marker, symbol: symbolOf(method) };
    return made;
  });
  const y = { ...shareAxis([1]), range: [0, 1.02] };
  y.ticktext = y.tickvals.map((value) => percent(value, 0));
  const x = { type: "linear", range: [0, 45], dtick: 10, ticksuffix: "°", title: { text: "turn, from the nearest right angle" } };
  const raw = lines.flatMap(({ method, epoch, buckets }) => buckets.map(({ from, to, mean, positives }) => [method.title, epoch, from, to, mean, positives]));
  return {
    traces, layout: plotLayout(plot, { x, y, revision: "gates" }), raw, caption: "Share of positives that the RU loss leaves alone, by angle", heads: ["Method", "Epoch", "From", "To", "Left alone", "Positives"],
    rows: raw.map(([title, epoch, from, to, mean, positives]) => [title, String(epoch), `${from}°`, `${to}°`, percent(mean), count(positives)]),
    label: `Share of positives left alone by the RU loss. ${lines.map(({ method, buckets }) => `${method.title}: ${percent(buckets[0].mean, 0)} upright, ${percent(buckets.at(-1).mean, 0)} at ${buckets.at(-1).from} to ${buckets.at(-1).to} degrees`).join(". ")}.`,
  };
}
