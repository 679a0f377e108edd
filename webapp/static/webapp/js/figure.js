// A plotly figure in the page's own colours: table twin, CSV, PNG, redrawn when the theme or its size changes.

import { setHidden, table, tableToggle, token, withAlpha } from "./dom.js";
import { figureButtons, saveBlob, savePlot } from "./figures.js";
import { count } from "./format.js";

export const NARROW = 448; // px of figure: fewer ticks, no labels at the ends of lines
export const BAND = 0.18;
const CLEAR = "rgba(0,0,0,0)";
const LABEL_HEIGHT = 15; // px
const LABEL_CHARACTERS = 26;

let look = null; // resolved colours; each reading forces a layout, so they are kept until the theme changes
document.documentElement.addEventListener("themechange", () => { look = null; });

/** Resolved colours of the page: `c[1]` to `c[8]` are the chart slots. */
export function currentLook() {
  if (look) return look;
  const read = (name) => token(`--${name}`);
  look = {
    c: [null, ...[1, 2, 3, 4, 5, 6, 7, 8].map((slot) => read(`chart-${slot}`))],
    grid: read("chart-grid"), axis: read("chart-axis"), text: read("chart-text"), dim: read("chart-dim"),
    surface: read("surface"), strong: read("text"), muted: read("muted"), overlay: read("overlay"), edge: read("line-strong"),
    family: getComputedStyle(document.body).fontFamily,
  };
  return look;
}

/**
 * Keep a panel's figure drawn. `view()` gives null while there is nothing to draw, else {traces, layout, label, caption,
 * heads, rows}: layout as `plotLayout` makes it, heads and rows of the table twin. Returns a function that draws again.
 */
export function mountFigure(panel, name, view) {
  const plot = panel.querySelector("[data-plot]");
  const holder = panel.querySelector("[data-table]");
  const wait = panel.querySelector("[data-wait]");
  const resetZoom = panel.querySelector("[data-reset-zoom]");
  let asTable = false;
  let shown = null;

  function redraw({ forgetZoom = false } = {}) {
    if (!plot.isConnected) return; // the part of the page it stood in was fetched anew
    setHidden(plot, asTable); // before it is asked for its size
    shown = view(plot);
    setHidden(plot, !shown || asTable);
    setHidden(holder, !shown || !asTable);
    setHidden(wait, Boolean(shown));
    if (!shown) return;
    if (asTable) holder.replaceChildren(table(shown.caption, shown.heads, shown.rows));
    else draw(forgetZoom);
    plot.setAttribute("aria-label", shown.label);
  }

  function draw(forgetZoom) {
    plot.drawnSize = sizeOf(plot);
    const layout = { ...shown.layout, uirevision: forgetZoom ? Math.random() : shown.layout.uirevision };
    Plotly.react(plot, shown.traces, layout, { displayModeBar: false, responsive: false, doubleClick: "reset" });
    if (!plot.listens && resetZoom) {
      plot.listens = true;
      plot.on("plotly_relayout", (change) => {
        const zoomed = "xaxis.range[0]" in change || "yaxis.range[0]" in change;
        if (zoomed || "xaxis.autorange" in change || "xaxis.range" in change) setHidden(resetZoom, !zoomed);
      });
    }
    if (forgetZoom) setHidden(resetZoom, true);
  }

  tableToggle(panel, name, (value) => { asTable = value; redraw(); });
  document.documentElement.addEventListener("themechange", () => redraw());
  const resized = new ResizeObserver(() => { if (!plot.hidden && sizeOf(plot) !== plot.drawnSize) redraw(); });
  resized.observe(panel);
  resized.observe(plot.parentElement); // on a board its room changes with the legend's, while the panel stays as it is
  resetZoom?.addEventListener("click", () => redraw({ forgetZoom: true }));
  panel.querySelector("[data-csv]")?.addEventListener("click", () => { if (shown) saveCsv(shown, `${name}.csv`); });
  figureButtons(panel, (format) => savePlot(plot, format, name));
  return redraw;
}

const sizeOf = (target) => `${target.clientWidth}x${target.clientHeight}`;

/** A layout with the house's axes. `x` and `y` are merged over the defaults. */
export function plotLayout(target, { x = {}, y = {}, ends = [], revision = "", shapes = [], notes = [] } = {}) {
  const colours = currentLook();
  const narrow = target.clientWidth < NARROW;
  const longest = Math.max(0, ...ends.map((end) => clip(end.text).length));
  const right = narrow || !ends.length ? 16 : Math.min(200, 22 + 6.7 * longest);
  const base = {
    uirevision: revision, height: target.clientHeight, width: target.clientWidth, margin: { l: 48, r: right, t: 12, b: 48 },
    paper_bgcolor: CLEAR, plot_bgcolor: CLEAR, showlegend: false, hovermode: "closest", dragmode: "zoom",
    font: { family: colours.family, size: 12, color: colours.text }, shapes,
    hoverlabel: { bgcolor: colours.overlay, bordercolor: colours.edge, align: "left", font: { color: colours.strong, size: 12 } },
    xaxis: { gridcolor: CLEAR, linecolor: colours.axis, ticks: "outside", tickcolor: colours.axis, ticklen: 4, zeroline: false, ...x,
      title: { standoff: 8, font: { size: 12 }, ...x.title } },
    yaxis: { range: [0, 1.005], tickformat: ".0%", dtick: narrow ? 0.25 : 0.2, gridcolor: colours.grid, linecolor: CLEAR, zeroline: true, zerolinecolor: colours.axis, ...y },
  };
  base.annotations = [...notes, ...(narrow ? [] : endLabels(ends, base))];
  return base;
}

const clip = (text) => (text.length > LABEL_CHARACTERS ? `${text.slice(0, LABEL_CHARACTERS - 1)}…` : text);

/** Labels at the ends of lines, moved apart where they would cover each other. `ends`: [{x, y, text, colour}]. */
function endLabels(ends, layout) {
  const { xaxis, yaxis, height, width, margin } = layout;
  const log = xaxis.type === "log";
  const place = (value, [low, high], size) => ((value - low) / (high - low)) * size;
  const inner = { width: width - margin.l - margin.r, height: height - margin.t - margin.b };
  const placed = [];
  const labels = ends.map((end) => {
    const x = log ? Math.log10(end.x) : end.x;
    return { ...end, at: x, text: clip(end.text), left: place(x, xaxis.range, inner.width), top: inner.height - place(end.y, yaxis.range, inner.height) };
  }).sort((a, b) => a.top - b.top);
  for (const label of labels) {
    label.shift = label.top;
    for (const other of placed) {
      const covers = label.left < other.left + 6.7 * other.text.length + 12 && other.left < label.left + 6.7 * label.text.length + 12;
      if (covers && Math.abs(label.shift - other.shift) < LABEL_HEIGHT) label.shift = other.shift + LABEL_HEIGHT;
    }
    placed.push(label);
  }
  // What was pushed below the axis goes back up, and pushes the others.
  let floor = inner.height + 4;
  for (const label of [...placed].sort((a, b) => b.shift - a.shift)) {
    if (label.shift <= floor) continue;
    label.shift = floor;
    floor -= LABEL_HEIGHT;
  }
  return placed.map((label) => ({
    x: label.at, y: label.y, text: escapeText(label.text), showarrow: false, xanchor: "left", yanchor: "middle", xshift: 8,
    yshift: label.top - label.shift, bgcolor: withAlpha(currentLook().surface, 0.7), borderpad: 1, font: { color: label.colour, size: 12, weight: 500 },
  }));
}

/** plotly reads a little HTML in its texts; names come from people. */
export const escapeText = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Traces of a line with its band. `hover` is plotly's template without the closing <extra>. */
export function bandedLine({ x, y, lo, hi, colour, dash = "solid", width = 2, markers = false, hover = "", name = "", band = BAND, custom = null }) {
  const surface = currentLook().surface;
  const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", type: "scatter" };
  const bands = lo && band ? [{ ...edge, y: lo }, { ...edge, y: hi, fill: "tonexty", fillcolor: withAlpha(colour, band) }] : [];
  return [...bands, {
    x, y, type: "scatter", name, mode: markers && x.length <= 60 ? "lines+markers" : "lines", line: { color: colour, width, dash },
    marker: { color: colour, size: 6, line: { color: surface, width: 1.5 } }, customdata: custom || (lo ? lo.map((low, i) => [low, hi[i]]) : null),
    ...(hover ? { hovertemplate: `${hover}<extra></extra>` } : { hoverinfo: "skip" }),
  }];
}

/** A log axis of whole numbers up to `most`. */
export function samplesAxis(most, narrow, title = "samples per problem, k (log)") {
  const top = Math.max(2, most);
  const step = top > 2000 ? 10 : top > 256 || narrow ? 4 : 2;
  const values = [];
  for (let k = 1; k <= top; k *= step) values.push(k);
  return { type: "log", range: [-0.02, Math.log10(top) + 0.02], tickvals: values, ticktext: values.map(count), title: { text: title } };
}

/** A log axis of amounts from `least` to `most`; `write` makes a tick's text. */
export function amountAxis(least, most, write, title) {
  const low = Math.log10(least);
  const high = Math.max(Math.log10(most), low + 0.5);
  const room = 0.02 * (high - low);
  const every = Math.max(1, Math.ceil((high - low) / 8));
  const values = [];
  for (let power = Math.ceil(low); power <= high; power += every) values.push(10 ** power);
  if (values.length < 2) values.splice(0, values.length, least, most);
  return { type: "log", range: [low - room, high + room], tickvals: values, ticktext: values.map(write), title: { text: title } };
}

/** Numbers as they are (`raw`), not as the table writes them. */
export function saveCsv({ heads, rows, raw = rows }, name) {
  const line = (cells) => cells.map(cell).join(",");
  const text = [line(heads), ...raw.map(line)].join("\n");
  saveBlob(new Blob([`${text}\n`], { type: "text/csv" }), name);
}

/** Quoted where needed, and never a formula for a spreadsheet: names come from people. */
function cell(value) {
  const text = value instanceof Node ? value.textContent : String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}
