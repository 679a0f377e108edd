// The paired difference of two experiments over k, with its band.

import { bandedLine, currentLook, mountFigure, NARROW, plotLayout, samplesAxis } from "./figure.js";
import { count } from "./format.js";

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(100 * value).toFixed(1)}`;

export function mountDifference(panel, state) {
  const redraw = mountFigure(panel, "difference", (plot) => {
    const pair = state.series.pair;
    if (!pair || !pair.k.length) return null;
    const look = currentLook();
    const run = (code) => state.series.runs.find((each) => each.code === code);
    const [first, second] = [run(pair.first), run(pair.second)];
    if (!first || !second) return null;
    const reach = Math.max(0.05, ...pair.hi.map(Math.abs), ...pair.lo.map(Math.abs)) * 1.08;
    const narrow = plot.clientWidth < NARROW;
    const side = (text, y, anchor) => ({ xref: "paper", x: 0.01, y, yanchor: anchor, xanchor: "left", showarrow: false, text, font: { color: look.muted, size: 12 } });
    const traces = bandedLine({
      x: pair.k, y: pair.difference, lo: pair.lo, hi: pair.hi, colour: look.strong, markers: !narrow,
      custom: pair.k.map((_, i) => [signed(pair.lo[i]), signed(pair.hi[i]), signed(pair.difference[i]), pair.p[i].toFixed(3)]),
      hover: "k = %{x}<br>%{customdata[2]} points<br>95% band %{customdata[0]} to %{customdata[1]}<br>p = %{customdata[3]}",
    });
    const layout = plotLayout(plot, {
      x: samplesAxis(pair.k.at(-1), narrow), revision: "difference",
      y: { range: [-reach, reach], tickformat: "+.0%", dtick: null, nticks: 6, zeroline: true, zerolinecolor: look.muted, zerolinewidth: 1 },
      notes: [side(`${clip(first.name)} solves more`, reach, "top"), side(`${clip(second.name)} solves more`, -reach, "bottom")],
    });
    const rows = pair.k.map((k, i) => [count(k), signed(pair.difference[i]), signed(pair.lo[i]), signed(pair.hi[i]), pair.p[i].toFixed(3)]);
    return {
      traces, layout, rows, heads: ["k", "Difference, points", "Band from", "Band to", "p"], raw: pair.k.map((k, i) => [k, pair.difference[i], pair.lo[i], pair.hi[i], pair.p[i]]),
      caption: `Coverage of ${first.name} minus ${second.name}, with its 95% band`,
      label: `Coverage of ${first.name} minus ${second.name}: ${signed(pair.difference[0])} points at one sample, ${signed(pair.difference.at(-1))} points at ${count(pair.k.at(-1))}.`,
    };
  });
  redraw();
  return redraw;
}

const clip = (text) => (text.length > 30 ? `${text.slice(0, 29)}…` : text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
