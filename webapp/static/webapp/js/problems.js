// The correct fraction of every problem as bars: two SVG paths whatever the number of problems, so that thousands of
// them are redrawn in a few milliseconds. A table twin serves keyboards and screen readers.

import { choice, element, setHidden, setText, svg, table, tableToggle } from "./dom.js";
import { figureButtons, saveDrawing } from "./figures.js";
import { count, percent } from "./format.js";

const HEIGHT = 168;
const EDGE = { left: 44, right: 8, top: 10, bottom: 28 };
const UNSOLVED = 8; // px: height of the outline that stands for "never solved so far"
const MOST_ROWS = 2000; // of the table; the CSV has all

/** A row: [problem, graded, correct, not judged], and where problems stop when solved, samples up to the first correct one. */
const share = ([, n, c, , tries]) => (tries === undefined ? (n ? c / n : 0) : (tries ? 1 / tries : 0));

export function mountProblems(panel, samplesUrl) {
  const figure = panel.querySelector("[data-bars]");
  const holder = panel.querySelector("[data-table]");
  const chart = barChart(figure, samplesUrl);
  figureButtons(panel, (format) => saveDrawing(figure.querySelector("svg"), format, "problems"));
  let state = null;
  let asTable = false;
  let sort = choice(panel.querySelectorAll("[data-sort]"), "sort", "sort", (value) => { sort = value; draw(state); });
  tableToggle(panel, "problems", (value) => { asTable = value; if (state) draw(state); });
  new ResizeObserver(() => { if (state && !asTable) draw(state); }).observe(figure);

  function draw(next) {
    state = next;
    const rows = ordered(next.kind, sort);
    setHidden(figure, asTable);
    setHidden(holder, !asTable);
    if (asTable) holder.replaceChildren(problemTable(rows, samplesUrl, next.kind.stops));
    else chart(rows, sort);
  }
  return draw;
}

function ordered(kind, sort) {
  const rows = (kind.problems || []).slice();
  if (sort === "share") rows.sort((a, b) => share(b) - share(a) || b[1] - a[1] || a[0] - b[0]);
  return rows;
}

function barChart(figure, samplesUrl) {
  const grid = svg("g");
  const solved = svg("path", { class: "bar" });
  const unsolved = svg("path", { class: "bar none" });
  const pointer = svg("rect", { class: "pointer", y: EDGE.top, height: HEIGHT - EDGE.top - EDGE.bottom, visibility: "hidden" });
  const captions = svg("g");
  const drawing = svg("svg", { role: "img", height: HEIGHT }, grid, pointer, solved, unsolved, captions);
  const tip = element("div.chart-tip", { "aria-hidden": "true", hidden: true });
  figure.append(drawing, tip);
  let shown = [];
  let step = 1;

  const at = (event) => {
    const i = Math.floor((event.clientX - drawing.getBoundingClientRect().left - EDGE.left) / step);
    return i >= 0 && i < shown.length ? i : null;
  };
  drawing.addEventListener("pointermove", (event) => {
    const i = at(event);
    setHidden(tip, i === null);
    pointer.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null) return;
    setText(tip, said(shown[i]));
    const x = EDGE.left + i * step;
    pointer.setAttribute("x", x - 1);
    pointer.setAttribute("width", Math.max(2, step));
    const half = tip.offsetWidth / 2;
    tip.style.translate = `${Math.min(Math.max(x + step / 2 - half, 0), figure.clientWidth - 2 * half)}px 0`;
  });
  drawing.addEventListener("pointerleave", () => { setHidden(tip, true); pointer.setAttribute("visibility", "hidden"); });
  if (samplesUrl) {
    drawing.classList.add("clickable");
    drawing.addEventListener("click", (event) => {
      const i = at(event);
      if (i !== null) location.assign(`${samplesUrl}?problem=${shown[i][0]}`);
    });
  }

  return (rows, sort) => {
    shown = rows;
    const width = figure.clientWidth || 600;
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.setAttribute("width", width);
    step = (width - EDGE.left - EDGE.right) / Math.max(1, rows.length);
    drawGrid(grid, width);
    solved.setAttribute("d", bars(rows.map((row) => share(row)), step));
    unsolved.setAttribute("d", outlines(rows, step));
    drawCaptions(captions, rows, sort, width);
    drawing.setAttribute("aria-label", summary(rows));
  };
}

function said([index, n, c, errors, tries]) {
  if (!n) return `Problem ${index}: not graded yet`;
  const judged = errors ? `, ${count(errors)} not judged` : "";
  if (tries === undefined) return `Problem ${index}: ${count(c)} of ${count(n)} correct, ${percent(c / n, 0)}${judged}`;
  return `Problem ${index}: ${tries ? `solved by sample ${count(tries)}` : `not solved by ${count(n)} samples`}${judged}`;
}

const bottom = HEIGHT - EDGE.bottom;
const full = bottom - EDGE.top;
const barWidth = (step) => (step >= 4 ? step - Math.min(2, step / 4) : step);

function bars(shares, step) {
  const w = barWidth(step).toFixed(2);
  return shares.map((value, i) => {
    if (!value) return "";
    const h = Math.max(1, value * full);
    return `M${(EDGE.left + i * step).toFixed(2)} ${bottom}v${(-h).toFixed(1)}h${w}v${h.toFixed(1)}z`;
  }).join("");
}

/**
 * Never solved: an outline, so that it differs from a bar by shape and not only by colour. Where bars are too thin to
 * have one each, neighbours share one.
 */
function outlines(rows, step) {
  const each = step >= 4;
  const parts = [];
  for (let i = 0; i < rows.length; i += 1) {
    if (!isUnsolved(rows[i])) continue;
    const first = i;
    while (!each && i + 1 < rows.length && isUnsolved(rows[i + 1])) i += 1;
    const width = Math.max(0.5, (each ? barWidth(step) : (i + 1 - first) * step) - 1).toFixed(2);
    parts.push(`M${(EDGE.left + first * step + 0.5).toFixed(2)} ${bottom - 0.5}v${-UNSOLVED}h${width}v${UNSOLVED}z`);
  }
  return parts.join("");
}

const isUnsolved = ([, n, c]) => n > 0 && c === 0;

function drawGrid(grid, width) {
  if (grid.dataset.width === String(width)) return;
  grid.dataset.width = width;
  grid.replaceChildren(...[0, 0.5, 1].flatMap((value) => {
    const y = Math.round(bottom - value * full);
    return [
      svg("line", { class: value ? "gridline" : "axis", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }),
      svg("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, percent(value, 0)),
    ];
  }));
}

function drawCaptions(captions, rows, sort, width) {
  const never = rows.filter(isUnsolved).length;
  const ungraded = rows.filter(([, n]) => !n).length;
  const end = [never ? `${count(never)} unsolved` : "", ungraded ? `${count(ungraded)} not graded yet` : ""].filter(Boolean).join(", ");
  const y = HEIGHT - 8;
  const texts = sort === "share" ? [["start", EDGE.left, rows[0]?.length > 4 ? "solved soon" : "solved often"]]
    : [["start", EDGE.left, `problem ${rows.length ? rows[0][0] : 0}`]];
  const right = sort === "share" ? end || "all solved" : [end, rows.length ? `problem ${rows[rows.length - 1][0]}` : ""].filter(Boolean).join(", ");
  if (rows.length) texts.push(["end", width - EDGE.right, right]);
  captions.replaceChildren(...texts.map(([anchor, x, text], i) => svg("text", { x, y, "text-anchor": anchor, class: i ? "strong" : "" }, text)));
}

function summary(rows) {
  const graded = rows.filter(([, n]) => n);
  const solvedCount = graded.filter(([, , c]) => c).length;
  return `${count(rows.length)} problems: ${count(solvedCount)} solved at least once, ${count(graded.length - solvedCount)} never, ${count(rows.length - graded.length)} not graded yet.`;
}

function problemTable(rows, samplesUrl, stops) {
  const name = (index) => (samplesUrl ? element("a.link", { href: `${samplesUrl}?problem=${index}` }, `Problem ${index}`) : `Problem ${index}`);
  const listed = rows.slice(0, MOST_ROWS);
  if (stops) {
    const cells = listed.map(([index, n, , errors, tries]) => [name(index), tries ? count(tries) : "–", count(n), count(errors)]);
    return table("Samples of each problem up to the first correct one", ["Problem", "Solved by sample", "Graded", "Not judged"], cells);
  }
  const cells = listed.map(([index, n, c, errors]) => [name(index), count(c), count(n), n ? percent(c / n) : "not graded", count(errors)]);
  return table("Graded and correct samples of each problem", ["Problem", "Correct", "Graded", "Share", "Not judged"], cells);
}
