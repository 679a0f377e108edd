// Average precision against the test rotation: one line per method, its seeds' spread as a band, the paper's lines on request.

import { choice, element, setText } from "./dom.js";
import { angleAxis, degrees, legendItem, pick, planOf, shareAxis, symbolOf, swatch, toggle } from "./detection_parts.js";
import { lost, lower, METRICS, points, scoreLines } from "./detection_state.js";
import { bandedLine, currentLook, escapeText, mountFigure, NARROW, plotLayout } from "./figure.js";
import { drawWait } from "./waiting.js";

const PAPER_WIDTH = 1.25;

/** `onView(metric, methods)` is called when another metric or architecture is chosen: the table beside the figure follows. */
export function mountAngles(panel, waitText, onView = () => {}) {
  const plan = planOf(panel);
  const view = { state: null };
  const redraw = mountFigure(panel, "angles", (plot) => draw(plot));
  view.metric = choice(panel.querySelectorAll("[data-metric]"), "metric", "metric", (value) => { view.metric = value; redraw({ forgetZoom: true }); onView(value, methods()); });
  view.paper = toggle(panel.querySelector("[data-paper]"), "paper", (on) => { view.paper = on; redraw({ forgetZoom: true }); });
  const select = panel.querySelector("[data-architecture]");
  if (select) view.architecture = pick(select, "architecture", (value) => { view.architecture = value; redraw({ forgetZoom: true }); onView(view.metric, methods()); });
  onView(view.metric, methods());

  function methods() {
    return view.architecture ? plan.methods.filter(({ architecture }) => architecture === view.architecture).map((method) => ({ ...method, title: method.short })) : plan.methods;
  }

  function draw(plot) {
    const state = view.state;
    if (!state) return null;
    const lines = scoreLines(methods(), state.kind.scores, view.metric);
    const name = METRICS[view.metric];
    setText(panel.querySelector("h2"), `${name} against test angle`);
    const legend = panel.querySelector("[data-legend]");
    if (!lines.length) {
      drawWait(panel.querySelector("[data-wait]"), state, waitText(state));
      legend.replaceChildren();
      return null;
    }
    const paper = view.paper ? plan.paper.lines.filter((line) => line[view.metric]) : [];
    setText(panel.querySelector("[data-sub]"), subtitle(lines));
    setText(panel.querySelector("[data-foot]"), sentence(lines, name, paper, plan.paper));
    legend.replaceChildren(...lines.map(({ method, points: all }) => legendItem(method, points(all.at(-1).mean))),
      ...paper.map((line) => element("li", {}, swatch(line.slot, "dot"), `paper: ${line.title}`)));
    return figureOf(plot, lines, paper, view.metric, plan.paper);
  }

  return (state) => { view.state = state; redraw(); };
}

function subtitle(lines) {
  const seeds = Math.max(...lines.flatMap(({ points: all }) => all.map(({ n }) => n)));
  return seeds > 1 ? `mean of ${seeds} seeds ± 1 s.d.` : "one seed";
}

/** In one sentence what a reader takes away. */
function sentence(lines, name, paper, published) {
  const drops = lines.filter(({ method }) => !method.ceiling && lines.length > 1).map((line) => ({ line, drop: lost(line) })).filter(({ drop }) => drop !== null);
  const source = paper.length ? ` Dotted: the paper's own numbers (${published.source}), another data set and budget than yours.` : "";
  if (drops.length < 2) return `${name} in points, ground truth turned with the image.${source}`;
  drops.sort((a, b) => a.drop - b.drop);
  const [least, most] = [drops[0], drops.at(-1)];
  const end = degrees(least.line.points.at(-1).angle);
  const start = degrees(least.line.points[0].angle);
  const told = ({ line, drop }) => `${lower(line.method.title)} ${drop < 0 ? "gains" : "loses"} ${points(Math.abs(drop))} points of ${name}`;
  return `From ${start} to ${end}: ${told(least)}; ${told(most)}.${source}`;
}

function figureOf(plot, lines, paper, metric, published) {
  const look = currentLook();
  const narrow = plot.clientWidth < NARROW;
  const name = METRICS[metric];
  const bands = lines.length <= 8;
  const traces = [
    ...paper.map((line) => ({
      x: published.angles, y: line[metric], type: "scatter", mode: "lines+markers", line: { color: look.c[line.slot], width: PAPER_WIDTH, dash: "dot" },
      marker: { color: look.surface, size: 6, symbol: symbolOf(line), line: { color: look.c[line.slot], width: 1.25 } }, customdata: line[metric].map(points),
      hovertemplate: `<b>${escapeText(line.title)}</b>, the paper<br>${name} %{customdata} at %{x}°<br>${escapeText(published.source)}<extra></extra>`,
    })),
    ...lines.flatMap((line) => methodTraces(line, look, name, bands, narrow)),
  ];
  const angles = [...new Set([...lines.flatMap(({ points: all }) => all.map(({ angle }) => angle)), ...(paper.length ? published.angles : [])])].sort((a, b) => a - b);
  const highest = [...lines.flatMap(({ points: all }) => all.map(({ mean, sd }) => mean + (sd || 0))), ...paper.flatMap((line) => line[metric])];
  const ends = [...lines.map(({ method, points: all }) => ({ x: all.at(-1).angle, y: all.at(-1).mean, text: `${method.title} ${points(all.at(-1).mean)}`, colour: look.c[method.slot] }))];
  const layout = plotLayout(plot, { x: angleAxis(angles), y: shareAxis(highest), ends: lines.length <= 9 ? ends : [], revision: `${metric}-${paper.length}-${lines.length}` });
  return { traces, layout, ...words(lines, paper, name, metric, published) };
}

function methodTraces({ method, points: all }, look, name, bands, narrow) {
  const several = bands && all.some(({ sd }) => sd !== null);
  const traces = bandedLine({
    x: all.map(({ angle }) => angle), y: all.map(({ mean }) => mean),
    lo: several ? all.map(({ mean, sd }) => Math.max(0, mean - (sd || 0))) : null, hi: several ? all.map(({ mean, sd }) => Math.min(1, mean + (sd || 0))) : null,
    colour: look.c[method.slot], dash: method.dash, markers: true,
    custom: all.map(({ mean, sd, n }) => [points(mean), sd === null ? "one seed" : `± ${points(sd)}, ${n} seeds`]),
    hover: `<b>${escapeText(method.title)}</b><br>${name} %{customdata[0]} at %{x}°<br>%{customdata[1]}`,
  });
  const line = traces.at(-1);
  line.marker = { ...line.marker, symbol: symbolOf(method), size: narrow ? 6 : 8 };
  line.cliponaxis = false;
  return traces;
}

function words(lines, paper, name, metric, published) {
  const raw = lines.flatMap(({ method, points: all }) => all.map(({ angle, mean, sd, n }) => [method.title, angle, mean, sd, n, "this experiment"]));
  raw.push(...paper.flatMap((line) => published.angles.map((angle, i) => [line.title, angle, line[metric][i], null, "", published.source])));
  const rows = raw.map(([title, angle, mean, sd, n, source]) => [title, degrees(angle), points(mean), sd === null ? "–" : points(sd), String(n || "–"), source]);
  const label = lines.map((line) => `${line.method.title}: ${line.points.map(({ angle, mean }) => `${points(mean)} at ${degrees(angle)}`).join(", ")}`).join(". ");
  return { raw, rows, label: `${name} against test angle. ${label}.`, caption: `${name} of each method at each test angle`, heads: ["Method", "Angle", name, "± s.d.", "Seeds", "From"] };
}

