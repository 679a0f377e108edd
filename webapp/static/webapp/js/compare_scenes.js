// Scene experiments on one figure: the loss of a stage by step.

import { choice, element } from "./dom.js";
import { pick, swatch } from "./detection_figures.js";
import { currentLook, escapeText, mountFigure, NARROW, plotLayout } from "./figure.js";
import { count } from "./format.js";
import { running } from "./scenes_state.js";

const REFRESH_MS = 8000;
const panel = document.getElementById("losses");
const view = { series: JSON.parse(document.getElementById("series").textContent), scale: "log", stage: "autoencoder" };
const redraw = mountFigure(panel, "losses", (plot) => draw(plot));
view.scale = choice(panel.querySelectorAll("[data-scale]"), "x", "scale", (value) => { view.scale = value; redraw({ forgetZoom: true }); });
view.stage = pick(panel.querySelector("[data-stage]"), "metric", (value) => { view.stage = value; redraw({ forgetZoom: true }); });
redraw();

function draw(plot) {
  const lines = view.series.runs.flatMap((run) => (run.losses[view.stage]?.steps.length ? [{ run, ...run.losses[view.stage], values: running(run.losses[view.stage].values) }] : []));
  panel.querySelector("[data-legend]").replaceChildren(...lines.map(({ run, values }) => element("li", {}, swatch(run.slot, run.dash), element("a", { href: run.url }, run.name), element("b", {}, values.at(-1).toPrecision(3)))));
  if (!lines.length) {
    panel.querySelector("[data-wait]").replaceChildren(element("div.state", {}, element("h2", {}, "No loss yet"), element("p", {}, "A line is drawn as soon as the stage takes its first steps.")));
    return null;
  }
  const look = currentLook();
  const all = lines.flatMap(({ values }) => values).filter((value) => view.scale === "linear" || value > 0);
  const [low, top] = [Math.min(...all), Math.max(...all)];
  const y = view.scale === "log" ? { type: "log", range: [Math.log10(low) - 0.1, Math.log10(top) + 0.1], tickformat: "~g", dtick: top / low > 300 ? 1 : "D2" } : { range: [Math.min(0, low), top * 1.05], tickformat: ".2~g", dtick: undefined, nticks: 6 };
  const last = Math.max(...lines.flatMap(({ steps }) => steps));
  const raw = lines.flatMap(({ run, steps, values }) => steps.map((step, i) => [run.name, step, values[i]]));
  return {
    traces: lines.map(({ run, steps, values }) => ({ x: steps, y: values, type: "scatter", mode: steps.length === 1 ? "markers" : "lines", line: { color: look.c[run.slot], dash: run.dash, width: 2 }, hovertemplate: `<b>${escapeText(run.name)}</b><br>step %{x:,}: %{y:.4g}<extra></extra>` })),
    layout: plotLayout(plot, { x: { type: "linear", range: [0, last * 1.02], nticks: plot.clientWidth < NARROW ? 4 : 8, title: { text: "step" } }, y, revision: `${view.stage}-${view.scale}` }),
    caption: "Loss of each experiment by step", heads: ["Experiment", "Step", "Loss"], raw, rows: raw.map(([name, step, value]) => [name, count(step), value.toPrecision(3)]),
    label: `Loss by step. ${lines.map(({ run, values }) => `${run.name}: from ${values[0].toPrecision(3)} to ${values.at(-1).toPrecision(3)}`).join(". ")}.`,
  };
}

if (document.getElementById("compare").hasAttribute("data-running")) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Part": "series" } });
      if (!answer.ok || answer.redirected) return;
      view.series = await answer.json();
      redraw();
      if (!view.series.runs.some((run) => ["queued", "running"].includes(run.status))) clearInterval(timer);
    } catch { /* offline: the next try may do */ }
  }, REFRESH_MS);
}
