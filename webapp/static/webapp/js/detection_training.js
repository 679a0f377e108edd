// While training: the loss and the average precision on the validation images, epoch by epoch, one line per run.
// What was measured is thin and faint, its running mean is drawn over it.

import { choice, element, setHidden, setText, viewOf } from "./dom.js";
import { pick, planOf, shareAxis, swatch, legendItem } from "./detection_parts.js";
import { METRICS, points, smoothed } from "./detection_state.js";
import { currentLook, escapeText, mountFigure, NARROW, plotLayout } from "./figure.js";
import { drawWait } from "./waiting.js";
import { hasEnded } from "./state.js";

const RAW = 0.35; // opacity
const DASHES = ["solid", "dot", "dash", "dashdot"]; // of seeds
const PARTS = {
  loss: "All parts", classification: "Classification", bbox_regression: "Boxes", bbox_ctrness: "Centre-ness",
  loss_classifier: "Classification, head", loss_box_reg: "Boxes, head", loss_objectness: "Objectness", loss_rpn_box_reg: "Boxes, proposals",
};

/** Epochs of every run that has some: [{method, run, seed, rows}] with rows in order. */
function runsOf({ methods }, kind, chosen) {
  const byRun = new Map();
  for (const row of kind.epochs) byRun.set(row.run, [...(byRun.get(row.run) || []), row]);
  return methods.filter(({ key }) => !chosen || key === chosen).flatMap((method) => method.runs.map((run, i) => ({
    method, run, seed: method.seeds[i], order: i, rows: (byRun.get(run) || []).sort((a, b) => a.epoch - b.epoch),
  }))).filter(({ rows }) => rows.length);
}

export function mountLoss(panel, waitText) {
  const parts = panel.querySelector("[data-part]");
  const view = { state: null, part: "loss" };
  const redraw = mountTraining(panel, "loss", view, waitText, (row) => (view.part === "loss" ? row.loss : row.losses?.[view.part] ?? null), {
    title: () => PARTS[view.part] || view.part, write: (value) => value.toPrecision(3), axis: lossAxis,
  });
  let known = "";
  return (state) => {
    const names = ["loss", ...new Set(state.kind.epochs.flatMap((row) => Object.keys(row.losses || {})))];
    if (names.join() !== known) {
      known = names.join();
      const asked = viewOf(parts).get("part");
      parts.replaceChildren(...names.map((name) => element("option", { value: name, selected: name === asked }, PARTS[name] || name.replaceAll("_", " "))));
      view.part = parts.value;
      if (!parts.dataset.listens) { parts.dataset.listens = "1"; pick(parts, "part", (value) => { view.part = value; redraw({ forgetZoom: true }); }); }
    }
    setHidden(parts.parentElement, names.length < 3);
    view.state = state;
    redraw();
  };
}

export function mountValidation(panel, waitText) {
  const view = { state: null };
  const redraw = mountTraining(panel, "validation", view, waitText, (row) => row[view.metric], {
    title: () => METRICS[view.metric], write: points, axis: (values) => shareAxis(values),
  });
  view.metric = choice(panel.querySelectorAll("[data-val]"), "val", "val", (value) => { view.metric = value; redraw({ forgetZoom: true }); });
  return (state) => { view.state = state; redraw(); };
}

function mountTraining(panel, name, view, waitText, read, words) {
  const plan = planOf(panel);
  const legend = panel.querySelector("[data-legend]");
  const select = panel.querySelector("[data-of]");
  select.replaceChildren(element("option", { value: "" }, "All methods"), ...plan.methods.map(({ key, title }) => element("option", { value: key }, title)));
  setHidden(select.parentElement, plan.methods.length < 2);
  const redraw = mountFigure(panel, name, (plot) => draw(plot));
  view.of = pick(select, `${name}-of`, (value) => { view.of = value; redraw({ forgetZoom: true }); });

  function draw(plot) {
    if (!view.state) return null;
    const runs = runsOf(plan, view.state.kind, view.of).map((run) => ({ ...run, values: run.rows.map(read) })).filter(({ values }) => values.some(Number.isFinite));
    if (!runs.length) {
      legend.replaceChildren();
      setText(panel.querySelector("[data-sub]"), "");
      drawWait(panel.querySelector("[data-wait]"), view.state, waitText(view.state), { priority: false });
      return null;
    }
    setText(panel.querySelector("[data-sub]"), `${runs.length} run${runs.length === 1 ? "" : "s"}; faint: as measured`);
    const methods = [...new Set(runs.map(({ method }) => method))];
    const seeds = Math.max(...runs.map(({ order }) => order)) > 0 && methods.length === 1;
    legend.replaceChildren(...(seeds ? runs.map((run) => element("li", {}, swatch(run.method.slot, DASHES[run.order % 4]), `seed ${run.seed}`)) : methods.map((method) => legendItem(method))));
    const planned = hasEnded(view.state) ? 1 : view.state.kind.epochs_planned;
    return figureOf(plot, runs, words, seeds, planned, `${words.title()}-${view.of}-${planned}`);
  }
  return redraw;
}

function figureOf(plot, runs, words, seeds, planned, revision) {
  const look = currentLook();
  const title = words.title();
  const all = runs.flatMap(({ values }) => values).filter(Number.isFinite);
  const last = Math.max(planned, ...runs.flatMap(({ rows }) => rows.map(({ epoch }) => epoch)));
  const traces = runs.flatMap(({ method, seed, order, rows, values }) => {
    const x = rows.map(({ epoch }) => epoch);
    const line = { color: look.c[method.slot], dash: seeds ? DASHES[order % 4] : method.dash };
    const mean = smoothed(values);
    return [
      { x, y: values, type: "scatter", mode: x.length === 1 ? "markers" : "lines", opacity: RAW, line: { ...line, width: 1 }, marker: { color: line.color, size: 5 }, hoverinfo: "skip" },
      { x, y: mean, type: "scatter", mode: x.length === 1 ? "markers" : "lines", line: { ...line, width: 2 }, marker: { color: line.color, size: 6 },
        customdata: values.map((value, i) => (value === null ? ["–", "–"] : [words.write(value), words.write(mean[i])])),
        hovertemplate: `<b>${escapeText(method.title)}</b>, seed ${seed}<br>epoch %{x}: %{customdata[0]}<br>running mean %{customdata[1]}<extra></extra>` },
    ];
  });
  const narrow = plot.clientWidth < NARROW;
  const x = { type: "linear", range: [0, last * 1.02], nticks: narrow ? 5 : 8, title: { text: "epoch" } };
  const layout = plotLayout(plot, { x, y: words.axis(all), revision });
  const raw = runs.flatMap(({ method, seed, rows, values }) => { const mean = smoothed(values); return rows.map(({ epoch }, i) => [method.title, seed, epoch, values[i], mean[i]]); });
  const rows = raw.map(([name, seed, epoch, value, mean]) => [name, String(seed), String(epoch), ...[value, mean].map((each) => (Number.isFinite(each) ? words.write(each) : "–"))]);
  const label = runs.map(({ method, seed, values }) => `${method.title}, seed ${seed}: from ${words.write(values.find(Number.isFinite))} to ${words.write(values.findLast(Number.isFinite))}`).join(". ");
  return { traces, layout, raw, rows, label: `${title} by epoch. ${label}.`, caption: `${title} of each run by epoch`, heads: ["Method", "Seed", "Epoch", title, "Running mean"] };
}

/** From 0 to a little above all but the first epochs' values, which may be many times as large. */
function lossAxis(values) {
  const top = Math.max(...values) * 1.05 || 1;
  return { range: [0, top], tickformat: "", dtick: undefined, nticks: 6 };
}
