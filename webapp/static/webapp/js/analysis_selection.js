// Selection beside coverage: what is lost when one answer has to be picked without a verifier.

import { element, setText, withAlpha } from "./dom.js";
import { bandedLine, currentLook, mountFigure, NARROW, plotLayout, samplesAxis } from "./figure.js";
import { count, percent } from "./format.js";
import { legendItem, showEmpty } from "./analysis_parts.js";

const GAP = 0.09;
const MOST_BANDS = 3;
const HOVER = "k = %{x}<br>%{y:.1%}";
const BAND = "<br>95% %{customdata[0]:.1%} to %{customdata[1]:.1%}";
// Selection methods keep these slots; the run's own colour is coverage's.
const SLOTS = [3, 4, 7, 2, 5, 6];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

/** Methods with the slot and dash they are drawn in; never the run's own slot. */
export const styled = (methods, own) => {
  const free = SLOTS.filter((slot) => slot !== own);
  return methods.map((method, i) => ({ ...method, slot: free[i % free.length], dash: DASHES[i % DASHES.length] }));
};

export function mountSelection(panel, slot) {
  let data = null;
  const redraw = mountFigure(panel, "selection", (plot) => (data?.methods?.length ? selectionFigure(plot, data, slot) : null));
  return (next) => {
    data = next;
    const methods = data?.methods || [];
    if (!methods.length) showEmpty(panel, data ? "Nothing to select by" : "Could not be computed", data ? data.why : "Reload the page to try again.");
    redraw();
    setText(panel.querySelector("[data-sub]"), methods.length ? scopeText(data) : "");
    panel.querySelector("[data-legend]").replaceChildren(...(methods.length ? selectionLegend(data, slot) : []));
    if (methods.length) setText(panel.querySelector("[data-foot]"), selectionText(data));
  };
}

function scopeText({ problems, scorer, scored, graded }) {
  const rewards = scorer ? `, rewards by ${scorer}` : "";
  return `${count(problems)} problems${rewards}${scorer && scored < graded ? `, ${count(scored)} of ${count(graded)} samples scored` : ""}`;
}

/** One experiment's coverage, its selection curves, and the gap to the best of them shaded. */
export function selectionFigure(plot, data, slot) {
  const look = currentLook();
  const { measured } = data;
  const methods = styled(data.methods, slot);
  const best = bestOf(methods);
  const band = methods.length > MOST_BANDS ? 0 : 0.1; // many would hide each other; pointing at a line tells its band
  const traces = [
    { x: best.k, y: best.coverage, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" },
    { x: measured.k, y: measured.coverage, type: "scatter", mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: withAlpha(look.muted, GAP), hoverinfo: "skip" },
    ...methods.flatMap((method) => bandedLine({ x: method.k, y: method.coverage, lo: method.lo, hi: method.hi, colour: look.c[method.slot], dash: method.dash, band, hover: `${method.title}, ${HOVER}${method.lo ? BAND : ""}` })),
    ...bandedLine({ x: measured.k, y: measured.coverage, colour: look.c[slot], markers: plot.clientWidth >= NARROW, hover: `Coverage, ${HOVER}` }),
  ];
  const ends = [{ x: measured.k.at(-1), y: measured.coverage.at(-1), text: "coverage", colour: look.c[slot] },
    ...methods.map((method) => ({ x: method.k.at(-1), y: method.coverage.at(-1), text: method.short, colour: look.c[method.slot] }))];
  const layout = plotLayout(plot, { x: samplesAxis(measured.k.at(-1), plot.clientWidth < NARROW), ends, revision: "selection", notes: gapNote(measured, best, look, plot) });
  const ks = [...new Set([measured.k, ...methods.map(({ k }) => k)].flat())].sort((a, b) => a - b);
  const at = (curve, k) => { const i = curve.k.indexOf(k); return i < 0 ? null : curve.coverage[i]; };
  const raw = ks.map((k) => [k, at(measured, k), ...methods.map((method) => at(method, k))]);
  return {
    traces, layout, raw, rows: raw.map(([k, ...values]) => [count(k), ...values.map((value) => (value === null ? "" : percent(value)))]),
    heads: ["k", "Coverage", ...methods.map(({ title }) => title)], caption: "Coverage and what each way of selecting keeps", label: selectionText(data),
  };
}

const bestOf = (methods) => methods.reduce((best, each) => (each.coverage.at(-1) > best.coverage.at(-1) ? each : best));

function gapNote(measured, best, look, plot) {
  const last = measured.k.length - 1;
  const gap = measured.coverage[last] - best.coverage.at(-1);
  if (gap < 0.1 || last < 3 || plot.clientWidth < NARROW) return [];
  const middle = Math.floor(last * 0.72);
  const near = best.k.reduce((found, k, i) => (Math.abs(k - measured.k[middle]) < Math.abs(best.k[found] - measured.k[middle]) ? i : found), 0);
  return [{ x: Math.log10(measured.k[middle]), y: (measured.coverage[middle] + best.coverage[near]) / 2, showarrow: false, text: "solved, but not picked", bgcolor: withAlpha(look.surface, 0.7), font: { size: 12, color: look.text } }];
}

export function selectionLegend(data, slot) {
  return [legendItem(`c${slot}`, "solid", "coverage"), ...styled(data.methods, slot).map((method) => legendItem(`c${method.slot}`, method.dash, method.title)),
    element("li", {}, element("i.swatch.c8"), "solved, but not picked")];
}

export function selectionText({ measured, methods }) {
  const end = measured.k.at(-1);
  const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);
  const kept = methods.map((method) => `${lower(method.title)} keeps ${percent(method.coverage.at(-1))}`).join(", ");
  return `At k = ${count(end)} coverage is ${percent(measured.coverage.at(-1))}; ${kept}.`;
}
