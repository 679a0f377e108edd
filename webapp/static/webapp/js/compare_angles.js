// Detection experiments on one figure: the best method of each, or one method of all, against the test angle.

import { choice, element, setText } from "./dom.js";
import { angleAxis, degrees, pick, shareAxis, swatch, symbolOf } from "./detection_figures.js";
import { leader, METRICS, points } from "./detection_state.js";
import { bandedLine, currentLook, escapeText, mountFigure, plotLayout } from "./figure.js";

/** `state`: {series}, read at each drawing. Returns redraw. */
export function mountCompareAngles(panel, state) {
  const view = { metric: "ap75", method: "best" };
  const redraw = mountFigure(panel, "angles", (plot) => draw(plot));
  view.metric = choice(panel.querySelectorAll("[data-metric]"), "metric", "metric", (value) => { view.metric = value; redraw({ forgetZoom: true }); });
  view.method = pick(panel.querySelector("[data-method]"), "method", (value) => { view.method = value; redraw({ forgetZoom: true }); });

  /** One line per experiment that has what was asked for. */
  function linesOf() {
    return state.series.runs.flatMap((run) => {
      const all = run.methods.map((method) => ({ run, method, points: method[view.metric] })).filter((line) => line.points.length);
      const line = view.method === "best" ? leader(all) : all.find(({ method }) => method.title === view.method);
      return line ? [line] : [];
    });
  }

  function draw(plot) {
    const lines = linesOf();
    const name = METRICS[view.metric];
    setText(panel.querySelector("h2"), `${name} against test angle`);
    panel.querySelector("[data-legend]").replaceChildren(...lines.map(({ run, method, points: all }) => element("li", {},
      swatch(run.slot, run.dash), run.url ? element("a", { href: run.url }, run.name) : element("span", {}, run.name), element("span", {}, `${method.title}, ${points(all.at(-1).mean)} at ${degrees(all.at(-1).angle)}`))));
    if (!lines.length) {
      panel.querySelector("[data-wait]").replaceChildren(element("div.state", {}, element("h2", {}, "No score yet"), element("p", {}, "A line is drawn as soon as a trained detector was tested.")));
      return null;
    }
    const look = currentLook();
    const traces = lines.flatMap(({ run, method, points: all }) => {
      const several = all.some(({ sd }) => sd !== null);
      const made = bandedLine({
        x: all.map(({ angle }) => angle), y: all.map(({ mean }) => mean), colour: look.c[run.slot], dash: run.dash, markers: true,
        lo: several ? all.map(({ mean, sd }) => Math.max(0, mean - (sd || 0))) : null, hi: several ? all.map(({ mean, sd }) => Math.min(1, mean + (sd || 0))) : null,
        custom: all.map(({ mean, sd, n }) => [points(mean), sd === null ? "one seed" : `± ${points(sd)}, ${n} seeds`]),
        hover: `<b>${escapeText(run.name)}</b><br>${escapeText(method.title)}<br>${name} %{customdata[0]} at %{x}°<br>%{customdata[1]}`,
      });
      made.at(-1).marker = { ...made.at(-1).marker, symbol: symbolOf(method), size: 8 };
      return made;
    });
    const angles = [...new Set(lines.flatMap((line) => line.points.map(({ angle }) => angle)))].sort((a, b) => a - b);
    const ends = lines.map(({ run, points: all }) => ({ x: all.at(-1).angle, y: all.at(-1).mean, text: run.name, colour: look.c[run.slot] }));
    const highest = lines.flatMap((line) => line.points.map(({ mean, sd }) => mean + (sd || 0)));
    const raw = lines.flatMap(({ run, method, points: all }) => all.map(({ angle, mean, sd, n }) => [run.name, method.title, angle, mean, sd, n]));
    return {
      traces, layout: plotLayout(plot, { x: angleAxis(angles), y: shareAxis(highest), ends, revision: `${view.metric}-${view.method}` }), raw,
      caption: `${name} of each experiment at each test angle`, heads: ["Experiment", "Method", "Angle", name, "± s.d.", "Seeds"],
      rows: raw.map(([run, method, angle, mean, sd, n]) => [run, method, degrees(angle), points(mean), sd === null ? "–" : points(sd), String(n)]),
      label: `${name} against test angle. ${lines.map(({ run, method, points: all }) => `${run.name}, ${method.title}: ${all.map(({ angle, mean }) => `${points(mean)} at ${degrees(angle)}`).join(", ")}`).join(". ")}.`,
    };
  }

  redraw();
  return redraw;
}
