// Coverage of several experiments on one figure, against samples or against what they cost.

import { choice, element, setHidden, setText, svg, viewOf } from "./dom.js";
import { amountAxis, bandedLine, currentLook, escapeText, mountFigure, NARROW, plotLayout, samplesAxis } from "./figure.js";
import { count, percent } from "./format.js";
import { amount, axisText, costOf, lineName } from "./costs.js";
import { loadForecasts } from "./forecasts.js";

const QUIET_BAND = 0.1; // of the line's colour where many bands lie over each other
const MOST_BANDS = 6; // runs whose bands can still be told apart; with more they are off until asked for
const FRONTIER = 0.4; // opacity
const FAINT = 0.12; // opacity of the other runs while the legend points at one

export function mountCompareCoverage(panel, state) {
  const few = state.series.runs.length <= MOST_BANDS;
  const time = panel.querySelector('[data-axis="gpu"]').textContent;
  const view = { time, bands: few, fits: false, published: new Set(), forecasts: new Map() };
  const legend = panel.querySelector("[data-legend]");
  const promptChoice = panel.querySelector("[data-when-cost]");
  const redraw = mountFigure(panel, "coverage", (plot) => draw(plot));

  view.axis = choice(panel.querySelectorAll("[data-axis]"), "x", "axis", (value) => { view.axis = value; redraw({ forgetZoom: true }); });
  view.prompt = choice(panel.querySelectorAll("[data-prompt]"), "prompt", "prompt", (value) => { view.prompt = value; redraw({ forgetZoom: true }); });
  toggle(panel.querySelector("[data-bands]"), "bands", few, (on) => { view.bands = on; redraw(); });
  toggle(panel.querySelector("[data-fits]"), "fits", false, async (on) => {
    view.fits = on;
    if (on) await loadForecasts(state.series.runs, view.forecasts, redraw);
    redraw({ forgetZoom: true });
  });
  pointAt(legend, panel.querySelector("[data-plot]"));
  const menu = panel.querySelector("[data-published]");
  if (menu) mountPublished(menu, view, redraw);

  function draw(plot) {
    const runs = state.series.runs.filter((run) => run.curve.k.length);
    setHidden(promptChoice, !["flops", "dollars"].includes(view.axis));
    if (!runs.length) { legend.replaceChildren(); setText(panel.querySelector("[data-sub]"), ""); return null; }
    const drawn = runs.map((run) => ({ run, x: costOf(run, view) })).filter(({ x }) => x);
    const left = runs.filter((run) => !costOf(run, view));
    setText(panel.querySelector("[data-sub]"), view.axis === "k" ? "against samples per problem" : `against ${axisText(view)}`);
    setText(panel.querySelector("[data-foot]"), foot(drawn, left, view));
    legend.replaceChildren(...legendItems(drawn, view, state.series));
    return figureOf(plot, drawn, view, state.series);
  }

  redraw();
  return redraw;
}

function toggle(button, key, initially, onChange) {
  if (!button) return;
  const kept = viewOf(button);
  const asked = kept.get(key);
  let on = asked === null ? initially : asked === "1";
  const mark = () => button.setAttribute("aria-pressed", on);
  button.addEventListener("click", () => {
    on = !on;
    mark();
    kept.set(key, on === initially ? null : on ? "1" : "0");
    onChange(on);
  });
  mark();
  if (on !== initially) onChange(on);
}

/** While the pointer or the focus is on a run in the legend, the others step back. */
function pointAt(legend, plot) {
  const show = (code) => {
    if (!plot.data || plot.hidden) return;
    Plotly.restyle(plot, { opacity: plot.data.map((trace) => (code && trace.meta && trace.meta !== code ? FAINT : trace.meta === "frontier" ? FRONTIER : 1)) });
  };
  for (const kind of ["pointerover", "focusin"]) legend.addEventListener(kind, ({ target }) => show(target.closest("[data-code]")?.dataset.code));
  for (const kind of ["pointerleave", "focusout"]) legend.addEventListener(kind, () => show(null));
}

function mountPublished(menu, view, redraw) {
  const boxes = [...menu.querySelectorAll("input")];
  const kept = viewOf(menu);
  const asked = (kept.get("published") || "").split(".");
  for (const box of boxes) {
    box.checked = asked.includes(box.value);
    if (box.checked) view.published.add(box.value);
  }
  menu.addEventListener("change", ({ target }) => {
    view.published[target.checked ? "add" : "delete"](target.value);
    kept.set("published", [...view.published].join(".") || null);
    redraw();
  });
}

function figureOf(plot, drawn, view, { published = [], frontiers = {} }) {
  const look = currentLook();
  const narrow = plot.clientWidth < NARROW;
  const frontier = frontiers[lineName(view)];
  const overlays = view.axis === "k" ? published.filter(({ key }) => view.published.has(key)) : [];
  const forecasts = view.fits ? drawn.filter(({ run }) => view.forecasts.get(run.code)) : [];
  const traces = [
    ...overlays.flatMap((each) => publishedTraces(each, look)),
    ...drawn.flatMap(({ run, x }) => marked(run, runTraces(run, x, view, look, { many: drawn.length, narrow }))),
    ...forecasts.flatMap(({ run }) => marked(run, forecastTraces(run, view, look))),
  ];
  if (frontier) traces.unshift(frontierTrace(frontier, look));
  const ends = drawn.map(({ run, x }) => endOf(run, x, view, look));
  ends.push(...overlays.map((each) => ({ x: each.k.at(-1), y: each.coverage.at(-1), text: each.label, colour: look.muted })));
  const layout = plotLayout(plot, { x: xAxis(drawn, overlays, forecasts, view, narrow), ends, revision: `${view.axis}-${view.prompt}-${view.fits}` });
  return { traces, layout, ...words(drawn, view) };
}

const marked = (run, traces) => traces.map((trace) => ({ ...trace, meta: run.code }));

function runTraces(run, x, view, look, { many, narrow }) {
  const { k, coverage, lo, hi } = run.curve;
  const colour = look.c[run.slot];
  const price = view.axis === "k" ? "" : `<br>${escapeText(axisText(view))}: %{customdata[2]}`;
  return bandedLine({
    x, y: coverage, lo, hi, colour, dash: run.dash, markers: many <= 8 && !narrow, band: view.bands ? (many > 3 ? QUIET_BAND : 0.18) : 0,
    custom: k.map((_, i) => [lo[i], hi[i], amount(x[i], view.axis), k[i]]),
    hover: `<b>${escapeText(run.name)}</b><br>k = %{customdata[3]}${price}<br>%{y:.1%} solved<br>95% band %{customdata[0]:.1%} to %{customdata[1]:.1%}`,
  });
}

function forecastTraces(run, view, look) {
  const forecast = view.forecasts.get(run.code);
  const colour = look.c[run.slot];
  const traces = [];
  const hover = (kind) => `<b>${escapeText(run.name)}</b>, ${kind}<br>k = %{customdata[3]}<br>%{y:.1%}`;
  for (const [curve, dash, kind] of [[forecast.forecast, "dash", "forecast"], [forecast.law, "dot", "power law"]]) {
    if (!curve) continue;
    const x = costOf({ ...run, curve }, view);
    if (!x) continue;
    const custom = curve.k.map((k, i) => [curve.lo?.[i], curve.hi?.[i], "", count(k)]);
    const interval = curve.lo ? "<br>95% interval %{customdata[0]:.1%} to %{customdata[1]:.1%}" : "";
    traces.push(...bandedLine({ x, y: curve.coverage, lo: curve.lo, hi: curve.hi, colour, dash, width: 1.5, band: view.bands ? QUIET_BAND : 0, custom, hover: hover(kind) + interval }));
  }
  return traces;
}

function publishedTraces(each, look) {
  return [{
    x: each.k, y: each.coverage, type: "scatter", mode: each.is_law ? "lines" : "markers", cliponaxis: false, line: { color: look.muted, width: 1.5, dash: "dot" },
    marker: { color: look.muted, size: 9, symbol: "diamond-open", line: { color: look.muted, width: 1.5 } },
    hovertemplate: `<b>${escapeText(each.title)}</b><br>k = %{x}<br>%{y:.1%}<br>${escapeText(each.source)}<extra></extra>`,
  }];
}

function endOf(run, x, view, look) {
  const forecast = view.fits && view.forecasts.get(run.code)?.forecast;
  if (forecast) {
    const far = costOf({ ...run, curve: forecast }, view);
    if (far) return { x: far.at(-1), y: forecast.coverage.at(-1), text: run.name, colour: look.c[run.slot] };
  }
  return { x: x.at(-1), y: run.curve.coverage.at(-1), text: run.name, colour: look.c[run.slot] };
}

function xAxis(drawn, overlays, forecasts, view, narrow) {
  const far = forecasts.flatMap(({ run }) => costOf({ ...run, curve: view.forecasts.get(run.code).forecast }, view) || []);
  if (view.axis === "k") {
    const most = Math.max(...drawn.flatMap(({ run, x }) => [x.at(-1), run.status === "running" ? run.planned : 1]), ...overlays.map((each) => each.k.at(-1)), ...far, 2);
    return samplesAxis(most, narrow);
  }
  const all = [...drawn.flatMap(({ x }) => x), ...far];
  return amountAxis(Math.min(...all), Math.max(...all), (value) => amount(value, view.axis), `${axisText(view)} (log)`);
}

/** The most coverage for the price: steps under all lines. */
const frontierTrace = ({ x, y }, look) => ({
  x, y, type: "scatter", mode: "lines", hoverinfo: "skip",
  line: { color: look.muted, width: 6, shape: "hv" }, opacity: FRONTIER, meta: "frontier",
});

function legendItems(drawn, view, { runs, published = [], frontiers = {} }) {
  const shown = new Set(drawn.map(({ run }) => run.code));
  const items = runs.map((run) => {
    const last = run.curve.k.length - 1;
    const value = last < 0 ? "no curve yet" : shown.has(run.code) ? `${percent(run.curve.coverage[last])} at ${count(run.curve.k[last])}` : "cost not known";
    const running = run.status === "running" ? `, running: ${count(run.reach)} of ${count(run.planned)}` : "";
    return element("li", { "data-code": run.code }, swatch(`c${run.slot}`, run.dash), runLink(run), element("span", {}, value + running));
  });
  if (frontiers[lineName(view)]) items.push(element("li", {}, element("i.swatch.c8"), "frontier: most coverage for the price"));
  if (view.fits) items.push(element("li", {}, swatch("c8", "dash"), "forecast (beta-binomial)"), element("li", {}, swatch("c8", "dot"), "power law"));
  for (const each of published) if (view.axis === "k" && view.published.has(each.key)) items.push(element("li", {}, swatch("c8", "dot"), `published: ${each.title}`));
  return items;
}

/** Without a link on a frozen copy. */
const runLink = ({ url, name }) => (url ? element("a", { href: url }, name) : element("span", {}, name));

export function swatch(slot, dash) {
  const line = svg("path", { class: `line${dash === "solid" ? "" : ` d-${dash}`}`, d: "M0 5H18" });
  return svg("svg", { class: slot, viewBox: "0 0 18 10", "aria-hidden": "true" }, line);
}

function foot(drawn, left, view) {
  const names = left.map((run) => `${run.name} (${run.cost?.why?.[view.axis] || "no measurement"})`);
  const missing = names.length ? ` Not on this axis: ${names.join(", ")}.` : "";
  if (view.axis === "k") return `Unbiased estimate from all samples; band: 95%, for another set of problems of the same kind.${missing}`;
  const notes = [...new Set(drawn.map(({ run }) => run.cost.notes?.[view.axis]).filter(Boolean))];
  return `${notes.join(" ")}${missing}`.trim() || "Costs are of one problem, averaged over all.";
}

function words(drawn, view) {
  const cost = view.axis !== "k";
  const label = drawn.map(({ run }) => `${run.name}: ${percent(run.curve.coverage[0])} with one sample, ${percent(run.curve.coverage.at(-1))} with ${count(run.curve.k.at(-1))}`).join(". ");
  const heads = ["Experiment", "k", ...(cost ? [axisText(view)] : []), "Coverage", "Band from", "Band to"];
  const each = (write, price) => drawn.flatMap(({ run, x }) => run.curve.k.map((k, i) =>
    [run.name, k, ...(cost ? [price(x[i])] : []), ...[run.curve.coverage, run.curve.lo, run.curve.hi].map((values) => write(values[i]))]));
  const rows = each(percent, (value) => amount(value, view.axis)).map(([name, k, ...rest]) => [name, count(k), ...rest]);
  return { label, caption: "Coverage of each experiment with its 95% band", heads, rows, raw: each((value) => value, (value) => value) };
}
