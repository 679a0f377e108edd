// The losses of each trained stage by step, one line for each part. A step's own loss is faint.

import { choice, element, setText } from "./dom.js";
import { pick, swatch } from "./detection_figures.js";
import { currentLook, mountFigure, NARROW, plotLayout } from "./figure.js";
import { count, short } from "./format.js";
import { currentStage, lossLines, partTitle, running, STAGES } from "./scenes_state.js";
import { drawWait } from "./waiting.js";

const RAW = 0.25; // opacity of what was measured; its running mean is drawn over it
const SLOTS = [8, 1, 2, 3, 4, 5, 6, 7]; // the sum is grey
const titleOf = (name) => (name === "all" ? "All parts" : partTitle(name));

export function mountLosses(panel, waitText) {
  const select = panel.querySelector("[data-stage]");
  const view = { state: null, stage: "", scale: "log" };
  select.replaceChildren(element("option", { value: "" }, "Stage that is trained"), ...Object.entries(STAGES).map(([value, title]) => element("option", { value }, title)));
  const redraw = mountFigure(panel, "losses", (plot) => draw(plot));
  view.stage = pick(select, "stage", (value) => { view.stage = value; redraw({ forgetZoom: true }); });
  view.scale = choice(panel.querySelectorAll("[data-scale]"), "scale", "scale", (value) => { view.scale = value; redraw({ forgetZoom: true }); });

  function draw(plot) {
    if (!view.state) return null;
    const stage = view.stage || currentStage(view.state.kind);
    const lines = lossLines(view.state.kind.losses, stage);
    const run = view.state.kind.runs.find((each) => each.stage === stage);
    setText(panel.querySelector("[data-sub]"), stage ? STAGES[stage] : "");
    if (!lines.length) {
      panel.querySelector("[data-legend]").replaceChildren();
      drawWait(panel.querySelector("[data-wait]"), view.state, waitText(view.state, stage), { priority: false });
      return null;
    }
    const shown = lines.map((line, i) => ({ ...line, mean: running(line.values), slot: lines.length === 1 ? 1 : SLOTS[i % SLOTS.length], title: titleOf(line.name) }));
    panel.querySelector("[data-legend]").replaceChildren(...shown.map(({ slot, title, mean }) => element("li", {}, swatch(slot, "solid"), title, element("b", {}, (mean.findLast(Number.isFinite) ?? 0).toPrecision(3)))));
    return figureOf(plot, shown, stage, run?.steps || 0, view.scale);
  }
  return (state) => { view.state = state; redraw(); };
}

function figureOf(plot, lines, stage, planned, scale) {
  const look = currentLook();
  const narrow = plot.clientWidth < NARROW;
  const all = lines.flatMap(({ values }) => values).filter((value) => Number.isFinite(value) && (scale === "linear" || value > 0));
  const last = Math.max(planned, ...lines.flatMap(({ steps }) => steps));
  const style = (slot, mode, values, width) => ({ y: values, type: "scatter", mode, line: { color: look.c[slot], width }, marker: { color: look.c[slot], size: 6 } });
  const traces = lines.flatMap(({ title, slot, steps, values, mean }) => {
    const mode = steps.length === 1 ? "markers" : "lines";
    return [
      { x: steps, ...style(slot, mode, values, 1), opacity: RAW, hoverinfo: "skip" },
      { x: steps, ...style(slot, mode, mean, slot === 8 ? 1.5 : 2), customdata: values.map((value) => value?.toPrecision(3) ?? "–"), hovertemplate: `<b>${title}</b><br>step %{x:,}: %{customdata}<br>running mean %{y:.3g}<extra></extra>` },
    ];
  });
  const top = Math.max(...all, 0) || 1;
  const low = Math.min(...all, top);
  const y = scale === "log"
    ? { type: "log", range: [Math.log10(low) - 0.1, Math.log10(top) + 0.1], tickformat: "~g", dtick: top / low > 300 ? 1 : "D2" }
    : { range: [Math.min(0, low), top * 1.05], tickformat: ".2~g", dtick: undefined, nticks: 6 };
  const x = { type: "linear", range: [0, last * 1.02], nticks: narrow ? 4 : 6, title: { text: "step" } };
  const { steps } = lines[0];
  return {
    traces, layout: plotLayout(plot, { x, y, revision: `${stage}-${scale}-${planned}` }), caption: `Losses of the ${STAGES[stage]} by step`,
    heads: ["Step", ...lines.map(({ title }) => title)], raw: steps.map((step, i) => [step, ...lines.map(({ values }) => values[i])]),
    rows: steps.map((step, i) => [count(step), ...lines.map(({ values }) => (Number.isFinite(values[i]) ? values[i].toPrecision(3) : "–"))]),
    label: `Losses of the ${STAGES[stage]} over ${short(last)} steps. ${lines.map(({ title, values }) => `${title}: from ${(values.find(Number.isFinite) ?? 0).toPrecision(3)} to ${(values.findLast(Number.isFinite) ?? 0).toPrecision(3)}`).join(". ")}.`,
  };
}
