// The correct fraction of every problem, coloured by whether the most frequent answer is right (Brown et al. 2024, Fig. 8).

import { choice, element, setHidden, setText, svg, table, tableToggle } from "./dom.js";
import { saveCsv } from "./figure.js";
import { figureButtons, saveDrawing } from "./figures.js";
import { count, percent } from "./format.js";
import { page } from "./live.js";

const HEIGHT = 176;
const EDGE = { left: 44, right: 8, top: 10, bottom: 28 };
const UNSOLVED = 8; // px: height of the outline of a problem that was never solved
const bottom = HEIGHT - EDGE.bottom;
const full = bottom - EDGE.top;
const HEADS = ["Problem", "Correct", "Graded", "Share", "Vote", "Its votes"];
const WORDS = { true: "right", false: "wrong", null: "no answer" };

/** A problem as the server sends it: [index, graded, correct, whether the vote is right or null, votes it got]. */
const share = ([, n, c]) => (n ? c / n : 0);

export function mountVotes(panel) {
  const figure = panel.querySelector("[data-bars]");
  const holder = panel.querySelector("[data-table]");
  const parts = { grid: svg("g"), pointer: svg("rect", { class: "pointer", y: EDGE.top, height: full, visibility: "hidden" }), right: svg("path", { class: "bar right" }), wrong: svg("path", { class: "bar wrong" }), none: svg("path", { class: "bar none" }), captions: svg("g") };
  const drawing = svg("svg", { role: "img", height: HEIGHT }, ...Object.values(parts));
  const tip = element("div.chart-tip", { "aria-hidden": "true", hidden: true });
  figure.append(drawing, tip);
  let problems = null;
  let shown = [];
  let step = 1;
  let asTable = false;
  let sort = choice(panel.querySelectorAll("[data-votes-sort]"), "votes-sort", "votesSort", (value) => { sort = value; draw(); });
  tableToggle(panel, "votes", (value) => { asTable = value; draw(); });
  new ResizeObserver(() => { if (problems && !asTable) draw(); }).observe(figure);
  panel.querySelector("[data-csv]").addEventListener("click", () => { if (problems) saveCsv({ heads: HEADS, rows: problems.map((row) => [row[0], row[2], row[1], share(row), WORDS[row[3]], row[4]]) }, "votes.csv"); });
  figureButtons(panel, (format) => saveDrawing(drawing, format, "votes"));
  point(drawing, tip, parts.pointer, figure, () => ({ shown, step }));

  function draw() {
    setHidden(figure, asTable);
    setHidden(holder, !asTable);
    if (!problems) return;
    shown = problems.slice();
    if (sort === "share") shown.sort((a, b) => share(b) - share(a) || a[0] - b[0]);
    if (asTable) holder.replaceChildren(voteTable(shown));
    else step = bars(drawing, parts, figure, shown, sort);
    const right = problems.filter((row) => row[3]).length;
    setText(panel.querySelector("[data-sub]"), `right on ${count(right)} of ${count(problems.length)} problems, solved at least once: ${count(problems.filter((row) => row[2]).length)}`);
  }

  return (data) => {
    problems = data?.votes || null;
    panel.hidden = !problems?.length;
    draw();
  };
}

function bars(drawing, parts, figure, rows, sort) {
  const width = figure.clientWidth || 600;
  drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  drawing.setAttribute("width", width);
  const step = (width - EDGE.left - EDGE.right) / Math.max(1, rows.length);
  const barWidth = step >= 4 ? step - Math.min(2, step / 4) : step;
  const path = (test) => rows.map((row, i) => {
    if (!row[2] || !test(row)) return "";
    const h = Math.max(1, share(row) * full);
    return `M${(EDGE.left + i * step).toFixed(2)} ${bottom}v${(-h).toFixed(1)}h${barWidth.toFixed(2)}v${h.toFixed(1)}z`;
  }).join("");
  parts.right.setAttribute("d", path((row) => row[3]));
  parts.wrong.setAttribute("d", path((row) => !row[3]));
  parts.none.setAttribute("d", rows.map((row, i) => (row[1] && !row[2] ? `M${(EDGE.left + i * step + 0.5).toFixed(2)} ${bottom - 0.5}v${-UNSOLVED}h${Math.max(0.5, barWidth - 1).toFixed(2)}v${UNSOLVED}z` : "")).join(""));
  parts.grid.replaceChildren(...[0, 0.5, 1].flatMap((value) => {
    const y = Math.round(bottom - value * full);
    return [svg("line", { class: value ? "gridline" : "axis", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }), svg("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, percent(value, 0))];
  }));
  const missed = rows.filter((row) => row[2] && row[3] === false).length;
  const ends = [["start", EDGE.left, sort === "share" ? "solved often" : `problem ${rows[0][0]}`], ["end", width - EDGE.right, `${count(missed)} solved, but outvoted`]];
  parts.captions.replaceChildren(...ends.map(([anchor, x, text], i) => svg("text", { x, y: HEIGHT - 8, "text-anchor": anchor, class: i ? "strong" : "" }, text)));
  drawing.setAttribute("aria-label", `${count(rows.length)} problems: the vote is right on ${count(rows.filter((row) => row[3]).length)}, wrong on ${count(missed)} that were solved.`);
  return step;
}

function point(drawing, tip, pointer, figure, current) {
  const at = (event) => {
    const { shown, step } = current();
    const i = Math.floor((event.clientX - drawing.getBoundingClientRect().left - EDGE.left) / step);
    return i >= 0 && i < shown.length ? i : null;
  };
  drawing.addEventListener("pointermove", (event) => {
    const i = at(event);
    setHidden(tip, i === null);
    pointer.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null) return;
    const { shown, step } = current();
    const [index, n, c, right, votes] = shown[i];
    setText(tip, `Problem ${index}: ${count(c)} of ${count(n)} correct; ${right === null ? "no answer to vote on" : `vote ${right ? "right" : "wrong"} with ${count(votes)}`}`);
    const x = EDGE.left + i * step;
    pointer.setAttribute("x", x - 1);
    pointer.setAttribute("width", Math.max(2, step));
    const half = tip.offsetWidth / 2;
    tip.style.translate = `${Math.min(Math.max(x + step / 2 - half, 0), figure.clientWidth - 2 * half)}px 0`;
  });
  drawing.addEventListener("pointerleave", () => { setHidden(tip, true); pointer.setAttribute("visibility", "hidden"); });
  if (!page.samples) return;
  drawing.classList.add("clickable");
  drawing.addEventListener("click", (event) => {
    const i = at(event);
    if (i !== null) location.assign(`${page.samples}?problem=${current().shown[i][0]}`);
  });
}

function voteTable(rows) {
  const cells = rows.map((row) => [page.samples ? element("a.link", { href: `${page.samples}?problem=${row[0]}` }, `Problem ${row[0]}`) : `Problem ${row[0]}`, count(row[2]), count(row[1]), percent(share(row)), WORDS[row[3]], count(row[4])]);
  return table("The vote on each problem", HEADS, cells);
}
