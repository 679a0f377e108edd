// What the engine did over time: four small charts over one axis, with one table twin. Time in which nothing was drawn
// takes no room: the line breaks there.

import { element, setHidden, setText, svg, table, tableToggle } from "./dom.js";
import { clock, clockSeconds, count, percent, short } from "./format.js";
import { hasEnded } from "./state.js";

const HEIGHT = 96;
const EDGE = { left: 40, right: 4, top: 8, bottom: 18 };
const BOTTOM = HEIGHT - EDGE.bottom;
const FULL = BOTTOM - EDGE.top;
const LATE = 10_000; // ms without a report: nothing is drawn now
const SETTLED = 2_000; // ms after a span's end: every worker has reported it

const times = (value) => `${value < 10 ? value.toFixed(1) : count(value)}×`;
const CHARTS = [
  { key: "tokens", title: "Tokens per second", note: "drawn, all workers", format: count, axis: short },
  { key: "memory", title: "KV memory in use", note: "of what the engine may hold", format: (value) => percent(value), axis: (value) => percent(value, value < 0.1 ? 1 : 0) },
  { key: "batch", title: "Batch", note: "answers drawn at once", format: (value) => (value < 10 ? value.toFixed(1) : count(value)), axis: short },
  { key: "gain", title: "Gain of sharing prefixes", note: "less KV memory held", format: times, axis: times },
];

export function mountEngine(panel) {
  const figure = panel.querySelector("[data-engine]");
  const holder = panel.querySelector("[data-table]");
  const wait = panel.querySelector("[data-wait]");
  let state = null;
  let asTable = false;
  let shown = []; // the points on the page
  let pointed = null; // the index of the point under the pointer
  let drawn = "";
  const charts = CHARTS.map((chart) => smallChart(figure, chart, (index) => { pointed = index; tell(); }));
  tableToggle(panel, "engine", (value) => { asTable = value; drawn = ""; if (state) draw(state); });
  new ResizeObserver(() => { drawn = ""; if (state) draw(state); }).observe(figure);

  function draw(next) {
    state = next;
    shown = points(next);
    const empty = !shown.length;
    setHidden(figure, empty || asTable);
    setHidden(holder, empty || !asTable);
    setHidden(wait, !empty);
    if (empty) setText(wait, waitText(next));
    const last = shown[shown.length - 1];
    const signature = JSON.stringify([next.metrics.width, shown.length, last, asTable]);
    if (!empty && signature !== drawn) {
      drawn = signature;
      if (asTable) holder.replaceChildren(engineTable(shown));
      else charts.forEach((chart) => chart.draw(shown, next.metrics.width * 1000));
    }
    tell();
  }

  /** The figures above the charts: of the point under the pointer, else of now, after the end of the whole run. */
  function tell() {
    const point = shown[pointed];
    setText(panel.querySelector("[data-sub]"), point ? `at ${clockSeconds(point.at)}` : subtitle(state, shown));
    const values = point || (isDrawing(state, shown) ? shown[shown.length - 1] : hasEnded(state) ? mean(shown) : {});
    charts.forEach((chart) => chart.tell(point ? values : { ...values, tokens: state.kind.kpis.tokens_per_second }, pointed));
  }

  return draw;
}

/** One point a span, in order of time, with what the charts show. What was not reported is null. */
function points({ metrics, status, now }) {
  const { series, width } = metrics;
  const of = (name) => new Map(series[name] || []);
  const [batch, held, path, budget] = ["batch", "kv_tokens", "path_tokens", "kv_budget"].map(of);
  const made = (series.tokens_per_second || []).map(([at, tokens]) => ({
    at, tokens, batch: batch.get(at) ?? null,
    memory: budget.get(at) ? held.get(at) / budget.get(at) : null,
    gain: held.get(at) ? path.get(at) / held.get(at) : null,
  }));
  // Not every worker has told about a span that has just ended, so it would show as a dip.
  const isOpen = (point) => status === "running" && point.at + 1000 * width + SETTLED > new Date(now).getTime();
  while (made.length > 1 && isOpen(made[made.length - 1])) made.pop();
  return made;
}

function isDrawing({ status, now, metrics }, shown) {
  if (status !== "running" || !shown.length) return false;
  const ended = shown[shown.length - 1].at + 1000 * metrics.width;
  return new Date(now).getTime() - ended < Math.max(LATE, 2000 * metrics.width);
}

function mean(shown) {
  return Object.fromEntries(CHARTS.map(({ key }) => {
    const known = shown.map((point) => point[key]).filter((value) => value !== null);
    return [key, known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null];
  }));
}

function subtitle(state, shown) {
  if (!shown.length) return "";
  if (hasEnded(state)) return "means over the time in which answers were drawn";
  return isDrawing(state, shown) ? `now, each point ${seconds(state.metrics.width)}` : "no answer is being drawn now";
}

const seconds = (width) => (width < 120 ? `${width} s` : `${Math.round(width / 60)} min`);

function waitText(state) {
  if (state.status === "queued") return "Speed and memory show up here once a worker draws answers.";
  if (state.status === "running") return "The engine reports once the model is loaded and draws its first tokens.";
  return state.kind.drawn ? "Nothing was measured while these answers were drawn." : "No answer was drawn.";
}

function smallChart(figure, chart, point) {
  const value = element("span.engine-value", {}, "–");
  const grid = svg("g");
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const pointer = svg("line", { class: "axis", y1: EDGE.top, y2: BOTTOM, visibility: "hidden" });
  const drawing = svg("svg", { role: "img", height: HEIGHT }, grid, area, line, pointer);
  figure.append(element("div.engine-chart", {}, element("h3", {}, chart.title),
    value, element("span.sub", {}, chart.note), drawing));
  let columns = [];

  drawing.addEventListener("pointermove", (event) => {
    const x = event.clientX - drawing.getBoundingClientRect().left;
    point(columns.length ? nearest(columns, x) : null);
  });
  drawing.addEventListener("pointerleave", () => point(null));

  return {
    draw(shown, width) {
      const room = drawing.clientWidth || 240;
      drawing.setAttribute("viewBox", `0 0 ${room} ${HEIGHT}`);
      const known = shown.map((each) => each[chart.key]);
      const most = ceiling(Math.max(0, ...known.filter((each) => each !== null)));
      const step = (room - EDGE.left - EDGE.right) / Math.max(1, shown.length - 1);
      columns = shown.map((_, i) => EDGE.left + i * step);
      drawGrid(grid, room, most, chart.axis, shown);
      const runs = unbroken(shown, known, width);
      const at = (i) => `${columns[i].toFixed(1)} ${(BOTTOM - (FULL * known[i]) / most).toFixed(1)}`;
      line.setAttribute("d", runs.map((run) => `M${run.map(at).join("L")}${run.length === 1 ? "h.1" : ""}`).join(""));
      area.setAttribute("d", runs.map((run) => `M${columns[run[0]].toFixed(1)} ${BOTTOM}L${run.map(at).join("L")}V${BOTTOM}z`).join(""));
      drawing.setAttribute("aria-label", summary(chart, shown, known));
    },
    tell(values, index) {
      const told = values[chart.key];
      setText(value, told === null || told === undefined ? "–" : chart.format(told));
      const x = columns[index];
      pointer.setAttribute("visibility", x === undefined ? "hidden" : "visible");
      if (x !== undefined) for (const end of ["x1", "x2"]) pointer.setAttribute(end, x);
    },
  };
}

const nearest = (columns, x) => {
  const step = columns.length > 1 ? columns[1] - columns[0] : 1;
  return Math.min(columns.length - 1, Math.max(0, Math.round((x - columns[0]) / step)));
};

/** Indices of neighbouring points with a value, in runs without a gap in time. */
function unbroken(shown, known, width) {
  const runs = [];
  shown.forEach((each, i) => {
    if (known[i] === null) return;
    const joins = i > 0 && known[i - 1] !== null && each.at - shown[i - 1].at <= width;
    if (joins) runs[runs.length - 1].push(i);
    else runs.push([i]);
  });
  return runs;
}

/** The axis' end: 1, 2 or 5 times a power of ten, or a value between them, that is at least `value`. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * power >= value * 0.9999) * power;
}

function drawGrid(grid, room, most, format, shown) {
  const first = clock(shown[0].at);
  const last = clock(shown[shown.length - 1].at);
  const marks = [0, most].flatMap((value) => {
    const y = value ? EDGE.top : BOTTOM;
    return [
      svg("line", { class: value ? "gridline" : "axis", x1: EDGE.left, x2: room - EDGE.right, y1: y, y2: y }),
      svg("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, value ? format(value) : "0"),
    ];
  });
  marks.push(svg("text", { x: EDGE.left, y: HEIGHT - 3 }, first));
  if (last !== first) marks.push(svg("text", { x: room - EDGE.right, y: HEIGHT - 3, "text-anchor": "end" }, last));
  grid.replaceChildren(...marks);
}

function summary(chart, shown, known) {
  const values = known.filter((value) => value !== null);
  if (!values.length) return `${chart.title}: not recorded.`;
  return `${chart.title} from ${clock(shown[0].at)} to ${clock(shown[shown.length - 1].at)}: ` +
    `between ${chart.format(Math.min(...values))} and ${chart.format(Math.max(...values))}.`;
}

function engineTable(shown) {
  const rows = shown.map((point) => [clockSeconds(point.at),
    ...CHARTS.map(({ key, format }) => (point[key] === null ? "–" : format(point[key])))]);
  return table("The engine over time", ["From", ...CHARTS.map(({ title }) => title)], rows);
}
