// The Curves tab: precision against recall as a figure; the tables come from the server.

import { element, setText } from "./dom.js";
import { degrees, legendItem } from "./detection_parts.js";
import { spread } from "./detection_state.js";
import { bandedLine, currentLook, escapeText, mountFigure, plotLayout, saveCsv } from "./figure.js";
import { percent } from "./format.js";
import "./live.js";
import { mountPart } from "./parts.js";

const MOST = 7; // classes with a colour of their own; more are drawn together in grey
const SLOTS = [1, 2, 4, 5, 6, 7, 3];
const recalls = Array.from({ length: 101 }, (_, i) => i / 100);

mountPart(document.querySelector("[data-browser]"), (part) => {
  const apply = part.querySelector("[data-apply]");
  if (apply) apply.hidden = true;
  const panel = part.querySelector("#pr");
  if (panel) mountCurves(panel, JSON.parse(panel.querySelector("#pr-data").textContent));
  for (const section of part.querySelectorAll("#by-class, #by-size, #confusion")) {
    section.querySelector("[data-csv]").addEventListener("click", () => saveCsv(cellsOf(section.querySelector("table")), `${section.id}.csv`));
  }
});

function cellsOf(table) {
  const rows = [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.replace(/(\d),(?=\d{3})/g, "$1")));
  return { heads: rows[0], rows: rows.slice(1) };
}

function mountCurves(panel, data) {
  const { classes } = data;
  const several = classes.length > 1;
  const free = SLOTS.filter((slot) => slot !== data.slot && slot !== data.beside?.slot);
  const mean = { name: "mean of the classes", precision: recalls.map((_, i) => spread(classes.map(({ precision }) => precision[i]))?.mean ?? 0), slot: data.slot, dash: "solid", width: 3 };
  const lines = classes.map((each, i) => ({ ...each, slot: classes.length > MOST ? 8 : several ? free[i] || 8 : data.slot, dash: "solid", width: classes.length > MOST ? 1 : 1.75 }));
  setText(panel.querySelector("[data-sub]"), `${data.method} at ${degrees(data.angle)}, IoU ${data.iou}`);
  const legend = classes.length > MOST ? [legendItem({ slot: 8, dash: "solid", title: `each of ${classes.length} classes` })] : lines.map((line) => legendItem({ ...line, title: line.name }));
  const beside = data.beside ? [{ ...data.beside, name: `${data.beside.title}${several ? ", mean" : ""}`, dash: "dash", width: 2 }] : [];
  panel.querySelector("[data-legend]").replaceChildren(...legend, ...[...(several ? [mean] : []), ...beside].map((line) => legendItem({ ...line, title: line.name })));
  const shown = [...lines, ...(several && lines.length ? [mean] : []), ...beside];
  if (!shown.length) panel.querySelector("[data-wait]").replaceChildren(element("div.state", {}, element("h2", {}, "Nothing to find"), element("p", {}, "No object is left on the canvas at this angle.")));
  mountFigure(panel, "precision-recall", (plot) => (shown.length ? figureOf(plot, shown, data) : null))();
}

function figureOf(plot, shown, data) {
  const look = currentLook();
  const traces = shown.flatMap(({ name, precision, slot, dash, width }) => bandedLine({
    x: recalls, y: precision, colour: look.c[slot], dash, width, hover: `<b>${escapeText(name)}</b><br>recall %{x:.0%}<br>precision %{y:.1%}`,
  }));
  const x = { range: [0, 1.005], tickformat: ".0%", dtick: 0.2, title: { text: "recall" } };
  const tenths = recalls.filter((_, i) => i % 10 === 0);
  return {
    traces, layout: plotLayout(plot, { x, y: { title: { text: "precision", font: { size: 12 } } }, revision: `${data.method}-${data.angle}-${data.iou}-${data.beside?.title}` }),
    caption: `Precision at each recall: ${data.method} at ${data.angle} degrees, IoU ${data.iou}`, heads: ["Class", ...tenths.map((recall) => `at recall ${percent(recall, 0)}`)],
    rows: shown.map(({ name, precision }) => [name, ...tenths.map((_, i) => percent(precision[10 * i], 0))]),
    raw: shown.map(({ name, precision }) => [name, ...tenths.map((_, i) => precision[10 * i])]),
    label: `Precision against recall of ${data.method} at ${data.angle} degrees. ${shown.map(({ name, precision }) => `${name}: precision ${percent(precision[50], 0)} at recall 50%`).join(". ")}.`,
  };
}
