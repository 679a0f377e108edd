// Label quality: how good each rule's boxes are on the training images' own masks, before anything is trained.

import { choice, element, setText } from "./dom.js";
import { angleAxis, degrees, legendItem, planOf, shareAxis, symbolOf } from "./detection_parts.js";
import { lower } from "./detection_state.js";
import { bandedLine, currentLook, escapeText, mountFigure, NARROW, plotLayout } from "./figure.js";
import { count, percent } from "./format.js";
import { drawWait } from "./waiting.js";

const SHOWN = {
  share75: ["IoU ≥ 0.75", "of labels overlap the truth by 0.75 or more"], share50: ["IoU ≥ 0.5", "of labels overlap the truth by 0.5 or more"],
  mean_iou: ["Mean IoU", "mean overlap of labels and truth"],
};

export function mountQuality(panel) {
  const plan = planOf(panel);
  const view = { state: null };
  const redraw = mountFigure(panel, "quality", (plot) => draw(plot));
  view.show = choice(panel.querySelectorAll("[data-quality]"), "quality-of", "quality", (value) => { view.show = value; redraw({ forgetZoom: true }); });

  function draw(plot) {
    if (!view.state) return null;
    const { quality } = view.state.kind;
    const rules = plan.rules.map((rule) => ({ ...rule, rows: quality.filter((row) => row.rule === rule.rule).sort((a, b) => a.angle - b.angle) })).filter(({ rows }) => rows.length);
    panel.querySelector("[data-legend]").replaceChildren(...rules.map((rule) => legendItem({ ...rule, dash: "solid" })));
    setText(panel.querySelector("[data-sub]"), rules.length ? `${count(rules[0].rows[0].objects)} objects of the training images` : "");
    setText(panel.querySelector("[data-foot]"), rules.length ? sentence(rules) : "");
    if (!rules.length) { drawWait(panel.querySelector("[data-wait]"), view.state, waitText(view.state), { priority: false }); return null; }
    return figureOf(plot, rules, view.show);
  }

  return (state) => { view.state = state; redraw(); };
}

function waitText({ status, kind }) {
  if (kind.data && !kind.data.has_masks) return ["Not every object has a mask", "Label quality is measured against turned masks, so it needs polygons or run lengths in the data set."];
  if (kind.data) return ["Nothing to measure", "None of the rules in this experiment guesses a box."];
  if (status === "queued" || status === "running") return ["Measured first", "Once the data set is read, every rule's labels are held against the turned masks. No training is needed for it."];
  return ["Not measured", "The experiment ended before the data set was read."];
}

function sentence(rules) {
  const angles = rules[0].rows.map(({ angle }) => angle);
  const angle = angles.includes(20) ? 20 : angles.at(-1);
  const found = rules.map((rule) => ({ title: rule.title, row: rule.rows.find((row) => row.angle === angle) })).filter(({ row }) => row).sort((a, b) => b.row.share75 - a.row.share75);
  if (!found.length) return "";
  const [best, worst] = [found[0], found.at(-1)];
  const start = `Turned by ${degrees(angle)}, ${percent(best.row.share75, 0)} of the labels by ${lower(best.title)} reach IoU 0.75`;
  return found.length > 1 ? `${start}; by ${lower(worst.title)} ${percent(worst.row.share75, 0)}.` : `${start}.`;
}

function figureOf(plot, rules, show) {
  const look = currentLook();
  const narrow = plot.clientWidth < NARROW;
  const [name, what] = SHOWN[show];
  const traces = rules.flatMap(({ rows, slot, title, rule }) => {
    const made = bandedLine({
      x: rows.map(({ angle }) => angle), y: rows.map((row) => row[show]), colour: look.c[slot], markers: true, custom: rows.map((row) => [row.objects]),
      hover: `<b>${escapeText(title)}</b><br>%{y:.1%} at %{x}°<br>${what}<br>%{customdata[0]} objects`,
    });
    made.at(-1).marker = { ...made.at(-1).marker, symbol: symbolOf({ rule }), size: narrow ? 6 : 8 };
    made.at(-1).cliponaxis = false;
    return made;
  });
  const angles = [...new Set(rules.flatMap(({ rows }) => rows.map(({ angle }) => angle)))].sort((a, b) => a - b);
  const ends = rules.map(({ rows, slot, title }) => ({ x: rows.at(-1).angle, y: rows.at(-1)[show], text: `${title} ${percent(rows.at(-1)[show], 0)}`, colour: look.c[slot] }));
  const y = { ...shareAxis([1]), range: [0, 1.02] };
  y.ticktext = y.tickvals.map((value) => percent(value, 0));
  const layout = plotLayout(plot, { x: angleAxis(angles, "turn of the label"), y, ends: rules.length <= 8 ? ends : [], revision: show });
  const raw = rules.flatMap(({ rows, title }) => rows.map((row) => [title, row.angle, row.share50, row.share75, row.mean_iou, row.objects]));
  const label = rules.map(({ rows, title }) => `${title}: ${rows.map((row) => `${percent(row[show], 0)} at ${degrees(row.angle)}`).join(", ")}`).join(". ");
  return {
    traces, layout, raw, label: `${name}: ${what}. ${label}.`, caption: "Quality of each rule's labels by angle", heads: ["Rule", "Angle", "IoU ≥ 0.5", "IoU ≥ 0.75", "Mean IoU", "Objects"],
    rows: raw.map(([title, angle, share50, share75, mean, objects]) => [title, degrees(angle), percent(share50), percent(share75), mean.toFixed(3), count(objects)]),
  };
}
