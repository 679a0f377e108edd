// How the known answers of every problem were judged: verdicts on its right answer upwards, on its wrong ones
// downwards. Three SVG paths whatever the number of problems; a table twin serves keyboards and screen readers.

import { choice, element, setHidden, setText, svg, table, tableToggle } from "./dom.js";
import { figureButtons, saveDrawing } from "./figures.js";
import { count } from "./format.js";

const HEIGHT = 200;
const EDGE = { left: 92, right: 8, top: 10, bottom: 28 };
const MOST_ROWS = 2000; // of the table; the CSV has all
const ORDER = ["flaky", "false negative", "false positive", "undecided"];
const HEADS = ["Problem", "Flags", "Right answer: correct", "wrong", "error", "timeout", "Wrong answers", "correct", "wrong", "error", "timeout"];
// [index, name, state, verdicts on the right answer, known wrong answers, verdicts on them, flags, reason, seconds]
const RIGHT = 3;
const WRONG = 5;
const FLAGS = 6;

export function mountAudit(panel) {
  const figure = panel.querySelector("[data-bars]");
  const holder = panel.querySelector("[data-table]");
  const parts = { grid: svg("g"), pointer: svg("rect", { class: "pointer", y: EDGE.top, height: HEIGHT - EDGE.top - EDGE.bottom, visibility: "hidden" }), expected: svg("path", { class: "expected" }), mistaken: svg("path", { class: "mistaken" }), undecided: svg("path", { class: "undecided" }), captions: svg("g") };
  const drawing = svg("svg", { role: "img", height: HEIGHT }, ...Object.values(parts));
  const tip = element("div.chart-tip", { "aria-hidden": "true", hidden: true });
  figure.append(drawing, tip);
  let rows = [];
  let shown = [];
  let step = 1;
  let asTable = false;
  let sort = choice(panel.querySelectorAll("[data-sort]"), "sort", "sort", (value) => { sort = value; draw(); });
  tableToggle(panel, "audit", (value) => { asTable = value; draw(); });
  new ResizeObserver(() => { if (!asTable) draw(); }).observe(figure);
  figureButtons(panel, (format) => saveDrawing(drawing, format, "audit"));
  point();

  function draw() {
    setHidden(figure, asTable);
    setHidden(holder, !asTable);
    shown = rows.slice();
    if (sort === "worst") shown.sort((a, b) => rank(a) - rank(b) || a[0] - b[0]);
    if (asTable) holder.replaceChildren(auditTable(shown));
    else step = bars(drawing, parts, figure, shown);
  }

  function point() {
    const at = (event) => {
      const i = Math.floor((event.clientX - drawing.getBoundingClientRect().left - EDGE.left) / step);
      return i >= 0 && i < shown.length ? i : null;
    };
    drawing.addEventListener("pointermove", (event) => {
      const i = at(event);
      setHidden(tip, i === null);
      parts.pointer.setAttribute("visibility", i === null ? "hidden" : "visible");
      if (i === null) return;
      setText(tip, rowText(shown[i]));
      const x = EDGE.left + i * step;
      parts.pointer.setAttribute("x", x);
      parts.pointer.setAttribute("width", Math.max(2, step));
      const half = tip.offsetWidth / 2;
      tip.style.translate = `${Math.min(Math.max(x + step / 2 - half, 0), Math.max(0, figure.clientWidth - 2 * half))}px 0`;
    });
    drawing.addEventListener("pointerleave", () => { setHidden(tip, true); parts.pointer.setAttribute("visibility", "hidden"); });
  }

  return (state) => {
    rows = state.kind.problems || [];
    draw();
  };
}

const rank = (row) => (row[FLAGS].length ? ORDER.indexOf(row[FLAGS][0]) : row[2] === "audited" ? ORDER.length : ORDER.length + 1);

function rowText(row) {
  if (row[2] === "pending") return `${row[1]}: not graded yet`;
  if (row[2] === "unknown") return `${row[1]}: no right answer is known`;
  const words = (counts) => ["correct", "wrong", "error", "timeout"].map((name, i) => (counts[i] ? `${count(counts[i])} ${name}` : "")).filter(Boolean).join(", ");
  const wrong = row[4] ? `; ${row[4] === 1 ? "wrong answer" : `${count(row[4])} wrong answers`}: ${words(row[WRONG])}` : "";
  return `${row[1]}: right answer: ${words(row[RIGHT])}${wrong}`;
}

/** Draws the paths; returns the width of a problem's column. */
function bars(drawing, parts, figure, rows) {
  const width = figure.clientWidth || 600;
  drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  drawing.setAttribute("width", width);
  const both = rows.some((row) => row[4]);
  const bottom = HEIGHT - EDGE.bottom;
  const middle = both ? (EDGE.top + bottom) / 2 : bottom;
  const full = middle - EDGE.top;
  const step = (width - EDGE.left - EDGE.right) / Math.max(1, rows.length);
  const bar = step >= 4 ? step - Math.min(2, step / 4) : step;
  const paths = { expected: [], mistaken: [], undecided: [] };
  rows.forEach((row, i) => {
    const x = EDGE.left + i * step;
    const stack = (counts, isExpected, direction) => {
      const all = counts.reduce((sum, value) => sum + value, 0);
      if (!all) return;
      const [good, bad] = isExpected === "correct" ? [counts[0], counts[1]] : [counts[1], counts[0]];
      let y = middle;
      for (const [kind, value] of [["expected", good], ["mistaken", bad], ["undecided", counts[2] + counts[3]]]) {
        const height = (value / all) * full;
        if (height) paths[kind].push(box(kind === "undecided", x, y, bar, -direction * height));
        y -= direction * height;
      }
    };
    stack(row[RIGHT], "correct", 1);
    stack(row[WRONG], "wrong", -1);
  });
  for (const [kind, found] of Object.entries(paths)) parts[kind].setAttribute("d", found.join(""));
  drawGrid(parts.grid, width, middle, bottom, both);
  const flagged = rows.filter((row) => row[FLAGS].length).length;
  parts.captions.replaceChildren(svg("text", { x: EDGE.left, y: HEIGHT - 8, "text-anchor": "start" }, `${count(rows.length)} problems`),
    svg("text", { x: width - EDGE.right, y: HEIGHT - 8, "text-anchor": "end", class: "strong" }, flagged ? `${count(flagged)} to look at` : "none to look at"));
  drawing.setAttribute("aria-label", `${count(rows.length)} problems, ${count(flagged)} of them flaky, misjudged or undecided.`);
  return step;
}

function box(outlined, x, y, width, height) {
  const inset = outlined && width > 3 && Math.abs(height) > 3 ? 0.75 : 0;
  const down = Math.sign(height) * inset;
  return `M${(x + inset).toFixed(2)} ${(y + down).toFixed(1)}v${(height - 2 * down).toFixed(1)}h${Math.max(0.5, width - 2 * inset).toFixed(2)}v${(2 * down - height).toFixed(1)}z`;
}

function drawGrid(grid, width, middle, bottom, both) {
  const words = [["right answers", (EDGE.top + middle) / 2], ...(both ? [["wrong answers", (middle + bottom) / 2]] : [])];
  grid.replaceChildren(
    svg("line", { class: "axis", x1: EDGE.left, x2: width - EDGE.right, y1: middle, y2: middle }),
    ...words.map(([text, y]) => svg("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, text)));
}

function auditTable(rows) {
  const cells = rows.slice(0, MOST_ROWS).map((row) => [row[1], row[FLAGS].join(", ") || { pending: "not graded yet", unknown: "no known answer", audited: "" }[row[2]],
    ...row[RIGHT].map(count), count(row[4]), ...row[WRONG].map(count)]);
  return table("Verdicts on each problem's known answers", HEADS, cells);
}
