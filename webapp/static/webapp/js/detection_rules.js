// "By label rule": every method's metric at every test angle, and what it loses from the first to the last.

import { element, setText } from "./dom.js";
import { degrees, methodName, planOf } from "./detection_parts.js";
import { at, leader, lost, METRICS, points, scoreLines, signed } from "./detection_state.js";
import { saveCsv } from "./figure.js";

export function mountRules(panel) {
  const body = panel.querySelector("[data-body]");
  let state = null;
  let metric = "ap75";
  let methods = planOf(panel).methods;
  let drawn = "";
  let shown = null;
  panel.querySelector("[data-csv]").addEventListener("click", () => { if (shown) saveCsv(shown, `label-rules-${metric}.csv`); });

  function draw() {
    if (!state) return;
    const signature = JSON.stringify([metric, methods.length, state.kind.scores]);
    if (signature === drawn) return;
    drawn = signature;
    setText(panel.querySelector("[data-sub]"), METRICS[metric]);
    const lines = scoreLines(methods, state.kind.scores, metric);
    if (!lines.length) {
      shown = null;
      body.replaceChildren(element("p.muted.padded", {}, "Filled in as trained detectors are tested, angle by angle."));
      return;
    }
    shown = csvOf(lines);
    body.replaceChildren(tableOf(lines, METRICS[metric]));
  }

  return { show(next) { state = next; draw(); }, setView(value, chosen) { metric = value; methods = chosen; draw(); } };
}

const anglesOf = (lines) => [...new Set(lines.flatMap((line) => line.points.map(({ angle }) => angle)))].sort((a, b) => a - b);

function tableOf(lines, name) {
  const angles = anglesOf(lines);
  const top = leader(lines);
  const sorted = [...lines].sort((a, b) => b.points.at(-1).angle - a.points.at(-1).angle || b.points.at(-1).mean - a.points.at(-1).mean);
  const choices = lines.filter(({ method }) => !method.ceiling);
  const best = new Map(angles.map((angle) => [angle, Math.max(...choices.map((line) => at(line, angle)?.mean ?? -1))]));
  const head = element("tr", {}, element("th.pin", { scope: "col" }, "Label rule"), ...angles.map((angle) => element("th.num", { scope: "col" }, degrees(angle))), element("th.num", { scope: "col" }, "Lost"));
  const rows = sorted.map((line) => element("tr", { "aria-selected": line === top && choices.length > 1 ? "true" : null },
    element("th.pin", { scope: "row" }, methodName(line.method)),
    ...angles.map((angle) => cell(at(line, angle), !line.method.ceiling && choices.length > 1 && at(line, angle)?.mean === best.get(angle))),
    element("td.num.muted", {}, lost(line) === null ? "–" : signed(-lost(line)))));
  return element("div.table-wrap", { tabindex: 0, role: "group", "aria-label": `${name} by label rule as a table` },
    element("table.table.compact.rules", {}, element("caption.sr-only", {}, `${name} by label rule and test angle, in points; lost from the first angle to the last`), element("thead", {}, head), element("tbody", {}, ...rows)));
}

function cell(point, isBest) {
  if (!point) return element("td.num.muted", {}, "–");
  const tip = point.sd === null ? null : `± ${points(point.sd)}, ${point.n} seeds`;
  return element(isBest ? "td.num.best" : "td.num", { title: tip }, points(point.mean));
}

function csvOf(lines) {
  const angles = anglesOf(lines);
  const rows = lines.map((line) => [line.method.title, ...angles.map((angle) => at(line, angle)?.mean ?? ""), lost(line) ?? ""]);
  return { heads: ["method", ...angles.map((angle) => `at ${angle} degrees`), "lost"], rows };
}
