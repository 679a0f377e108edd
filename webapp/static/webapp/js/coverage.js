// Coverage against k: a plotly figure in the page's own colours, with a table twin.

import { choice, element, setHidden, setText, table, tableToggle, token, withAlpha } from "./dom.js";
import { figureButtons, savePlot } from "./figures.js";
import { count, percent, span } from "./format.js";
import { drawWait, queueText } from "./waiting.js";

const NARROW = 448; // px of figure: fewer ticks, no end label
const BAND = 0.18;
const ASK_AGAIN = 5000; // ms: while extra samples come in

/** `forecast()`: a promise of the fitted laws, for extra draws. */
export function mountCoverage(panel, forecast) {
  const figure = panel.querySelector("[data-plot]");
  const holder = panel.querySelector("[data-table]");
  const wait = panel.querySelector("[data-wait]");
  const resetZoom = panel.querySelector("[data-reset-zoom]");
  let state = null;
  let asTable = false;
  let drawn = "";
  let beyond = null; // the model's estimate where only extra draws reach
  const footBox = panel.querySelector("[data-foot]");
  const foot = footBox.textContent;
  let look = null; // resolved colours; each reading forces a layout, so they are kept until the theme changes
  let scale = choice(panel.querySelectorAll("[data-scale]"), "x", "scale", (value) => { scale = value; redraw(); });
  tableToggle(panel, "coverage", (value) => { asTable = value; redraw(); });

  document.documentElement.addEventListener("themechange", () => { look = null; redraw(); });
  const resized = new ResizeObserver(() => { if (!figure.hidden && sizeOf(figure) !== figure.drawnSize) redraw(); });
  resized.observe(panel);
  resized.observe(figure.parentElement);
  resetZoom.addEventListener("click", () => { drawn = ""; draw(state, true); });
  figureButtons(panel, (format) => savePlot(figure, format, "coverage"));

  function redraw() {
    drawn = "";
    if (state) draw(state);
  }

  function draw(next, forgetZoom = false) {
    state = next;
    const kind = next.kind;
    const ready = kind.curve.k.length > 0;
    setHidden(figure, !ready || asTable);
    setHidden(holder, !ready || !asTable);
    setHidden(wait, ready);
    setText(footBox, kind.extra ? extraText(kind) : `${foot}${takenText(kind.kpis.first_success)}`);
    setText(panel.querySelector("[data-sub]"), ready ? subtitle(next) : `${count(kind.total_problems)} problems`);
    if (!ready) { drawWait(wait, next, waitText(next)); return; }
    const signature = JSON.stringify([kind.curve, kind.samples, scale, asTable, kind.extra]);
    if (drawn === signature) return;
    drawn = signature;
    if (asTable) holder.replaceChildren(coverageTable(kind.curve, tail(kind)));
    else plot(figure, kind, scale, panel, forgetZoom);
    figure.setAttribute("aria-label", sentence(kind, tail(kind)));
    if (kind.extra?.graded) askBeyond(kind.extra.graded);
  }

  /** Extra draws go on where the unbiased curve ends; a law fitted to all samples says what lies there. */
  async function askBeyond(graded) {
    if (beyond?.graded === graded || (beyond && Date.now() - beyond.at < ASK_AGAIN)) return;
    beyond = { ...beyond, graded, at: Date.now() };
    const found = await forecast().catch(() => null);
    beyond = { ...beyond, curve: found?.forecast ?? null };
    redraw();
  }

  /** From the curve's end to what the extra draws reach; null without any. */
  function tail(kind) {
    const curve = beyond?.curve;
    if (!kind.extra?.graded || !curve) return null;
    const from = kind.curve.complete_to;
    const keep = curve.k.flatMap((k, i) => (k >= from && k <= kind.extra.most ? [i] : []));
    return keep.length > 1 ? Object.fromEntries(["k", "coverage", "lo", "hi"].map((name) => [name, keep.map((i) => curve[name][i])])) : null;
  }

  function plot(target, kind, axis, scope, forgetZoom) {
    target.drawnSize = sizeOf(target);
    look ||= colours(scope, scope.dataset.colour);
    const layout = layoutOf(kind, axis, look, target, forgetZoom);
    Plotly.react(target, [...tailTraces(tail(kind), look), ...traces(kind.curve, look)], layout, { displayModeBar: false, responsive: false, doubleClick: "reset" });
    if (!target.listens) {
      target.listens = true;
      target.on("plotly_relayout", (change) => {
        const zoomed = "xaxis.range[0]" in change || "yaxis.range[0]" in change;
        if (zoomed || "xaxis.autorange" in change || "xaxis.range" in change) setHidden(resetZoom, !zoomed);
      });
    }
    if (forgetZoom) setHidden(resetZoom, true);
  }

  return draw;
}

const sizeOf = (target) => `${target.clientWidth}x${target.clientHeight}`;

function waitText(state) {
  if (state.status === "queued") return queueText(state);
  const isImport = state.stages[0]?.name === "import";
  if (isImport && state.status === "running") return ["Reading the file", "It is checked to its end before its first sample is stored."];
  if (state.status === "running") return ["No graded samples yet", "The first answers show up a few seconds after the model is loaded."];
  return ["Nothing was graded", "There is no sample to draw a curve from."];
}

function colours(scope, slot) {
  const probe = scope.appendChild(element(`i.${slot}`));
  const line = token("--c", probe);
  probe.remove();
  const names = ["grid", "axis", "text"].map((name) => token(`--chart-${name}`));
  return { line, grid: names[0], axis: names[1], text: names[2], surface: token("--surface"),
    family: getComputedStyle(document.body).fontFamily,
    overlay: token("--overlay"), strong: token("--text"), edge: token("--line-strong") };
}

function traces(curve, look) {
  const band = { x: curve.k, mode: "lines", line: { width: 0 }, hoverinfo: "skip", type: "scatter" };
  return [
    { ...band, y: curve.lo },
    { ...band, y: curve.hi, fill: "tonexty", fillcolor: withAlpha(look.line, BAND) },
    {
      x: curve.k, y: curve.coverage, customdata: curve.k.map((_, i) => [curve.lo[i], curve.hi[i]]), type: "scatter",
      mode: curve.k.length > 60 ? "lines" : "lines+markers", line: { color: look.line, width: 2 },
      marker: { color: look.line, size: 6, line: { color: look.surface, width: 1.5 } },
      hovertemplate: "k = %{x}<br>%{y:.1%} solved<br>95% band %{customdata[0]:.1%} to %{customdata[1]:.1%}<extra></extra>",
    },
  ];
}

function tailTraces(curve, look) {
  if (!curve) return [];
  const band = { x: curve.k, mode: "lines", line: { width: 0 }, hoverinfo: "skip", type: "scatter" };
  return [
    { ...band, y: curve.lo },
    { ...band, y: curve.hi, fill: "tonexty", fillcolor: withAlpha(look.line, BAND / 2) },
    {
      x: curve.k, y: curve.coverage, customdata: curve.k.map((_, i) => [curve.lo[i], curve.hi[i]]), type: "scatter", mode: "lines",
      line: { color: look.line, width: 1.75, dash: "dash" },
      hovertemplate: "k = %{x}<br>%{y:.1%} solved, model-based<br>95% band %{customdata[0]:.1%} to %{customdata[1]:.1%}<extra></extra>",
    },
  ];
}

function extraText({ extra, samples }) {
  return `Solid: estimated without bias from the ${count(samples)} samples that every problem has. ` +
    `${count(extra.problems)} problem${extra.problems === 1 ? " has" : "s have"} up to ${count(extra.most)}, drawn where they help: that looked at the results, so the solid curve leaves them out, and the dashed one beyond it is a model-based estimate for these problems. Bands: 95%.`;
}

function layoutOf(kind, axis, look, target, forgetZoom) {
  const narrow = target.clientWidth < NARROW;
  const last = kind.curve.k.length - 1;
  const most = Math.max(kind.samples, kind.curve.k[last], kind.extra?.graded ? kind.extra.most : 0, 2);
  const log = axis === "log";
  const end = kind.curve.coverage[last];
  const x = kind.curve.k[last];
  const label = {
    x: log ? Math.log10(x) : x, y: end, text: percent(end), showarrow: false, xanchor: "left", xshift: 10,
    font: { color: look.line, size: 12, weight: 600 },
  };
  return {
    uirevision: forgetZoom ? Math.random() : `${axis}-${most}`,
    height: target.clientHeight, width: target.clientWidth, margin: { l: 44, r: narrow ? 16 : 60, t: 12, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest", dragmode: "zoom",
    font: { family: look.family, size: 12, color: look.text },
    hoverlabel: { bgcolor: look.overlay, bordercolor: look.edge, align: "left", font: { color: look.strong, size: 12 } },
    annotations: narrow ? [] : [label],
    xaxis: {
      type: log ? "log" : "linear", range: log ? [-0.02, Math.log10(most) + 0.02] : [0, most * 1.01],
      title: { text: `samples per problem, k${log ? " (log)" : ""}`, standoff: 8, font: { size: 12 } },
      ...(log ? ticks(most, narrow) : { nticks: narrow ? 5 : 9 }),
      gridcolor: "rgba(0,0,0,0)", linecolor: look.axis, ticks: "outside", tickcolor: look.axis, ticklen: 4, zeroline: false,
    },
    yaxis: { range: [0, 1.005], tickformat: ".0%", dtick: narrow ? 0.25 : 0.2, gridcolor: look.grid, linecolor: "rgba(0,0,0,0)", zeroline: true, zerolinecolor: look.axis },
  };
}

function ticks(most, narrow) {
  const step = most > 512 || narrow ? 4 : 2;
  const values = [];
  for (let k = 1; k <= most; k *= step) values.push(k);
  return { tickvals: values, ticktext: values.map(count) };
}

function subtitle(state) {
  const kind = state.kind;
  const complete = kind.curve.complete_to;
  const problems = `${count(kind.total_problems)} problems`;
  const each = kind.stops ? `up to ${count(kind.samples)} samples each, until one is correct` : `${count(kind.samples)} samples each`;
  const extra = kind.extra ? `, ${count(kind.extra.samples)} more where they help` : "";
  return complete >= kind.samples ? `${problems}, ${each}${extra}`
    : `${problems}, at least ${count(complete)} of ${count(kind.samples)} samples each so far`;
}

/** Of experiments that stop problems when they are solved. */
function takenText(found) {
  if (!found) return "";
  const band = found.lo === null ? "" : ` (95% band ${found.lo.toFixed(1)} to ${found.hi.toFixed(1)})`;
  return ` A problem takes ${found.mean.toFixed(1)} samples on average${band} until the first correct one or the end.`;
}

function sentence(kind, tail) {
  const { k, coverage, lo, hi } = kind.curve;
  const last = k.length - 1;
  return `Coverage rises from ${percent(coverage[0])} with one sample to ${percent(coverage[last])} ` +
    `(95% band ${span(lo[last], hi[last])}) with ${count(k[last])} samples per problem.` +
    (tail ? ` A model-based estimate reaches ${percent(tail.coverage.at(-1))} with ${count(tail.k.at(-1))}.` : "");
}

function coverageTable(curve, tail) {
  const rows = [[curve, ""], ...(tail ? [[tail, ", model-based"]] : [])].flatMap(([part, how]) => part.k.map((k, i) => (
    [`${count(k)}${how}`, percent(part.coverage[i]), percent(part.lo[i]), percent(part.hi[i])])));
  return table("Coverage for k samples per problem, with its 95% band", ["k", "Coverage", "Band from", "Band to"], rows);
}
