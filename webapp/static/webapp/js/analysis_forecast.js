// Fitted laws against what was measured: forward to ten times the samples, or a backtest on a tenth of them.

import { choice, element, setText } from "./dom.js";
import { bandedLine, currentLook, mountFigure, NARROW, plotLayout, samplesAxis } from "./figure.js";
import { count, percent } from "./format.js";
import { legendItem, showEmpty } from "./analysis_parts.js";

const HOVER = "k = %{x}<br>%{y:.1%}";
const BAND = "<br>95% %{customdata[0]:.1%} to %{customdata[1]:.1%}";
const points = (value) => (100 * value).toFixed(1);

export function mountForecast(panel, slot) {
  let data = null;
  let asked = false;
  const redraw = mountFigure(panel, "forecast", (plot) => (data?.measured ? draw(plot) : null));
  let mode = choice(panel.querySelectorAll("[data-fit]"), "fit", "fit", (value) => { mode = value; redraw({ forgetZoom: true }); words(); });

  function draw(plot) {
    return mode === "backtest" && data.backtest ? backtestFigure(plot, data, slot) : forecastFigure(plot, data, slot);
  }

  function words() {
    if (!asked) return;
    const noTest = mode === "backtest" && !data?.backtest;
    setText(panel.querySelector("[data-sub]"), data?.measured ? `${count(data.problems)} problems, ${count(data.reach)} samples each` : "");
    setText(panel.querySelector("[data-foot]"), !data?.measured ? "" : noTest ? "A backtest needs at least 20 graded samples on every problem." : mode === "backtest" ? backtestText(data.backtest) : forecastText(data));
    panel.querySelector("[data-legend]").replaceChildren(...(data?.measured ? legend(mode === "backtest" && !noTest, slot) : []));
  }

  return (next) => {
    data = next;
    asked = true;
    if (!data?.measured) showEmpty(panel, data ? "Nothing to fit yet" : "Could not be computed", data ? "A law is fitted once every problem has graded samples." : "Reload the page to try again.");
    redraw();
    words();
  };
}

function forecastFigure(plot, { measured, forecast, law, reach, extra }, slot) {
  const look = currentLook();
  const colour = look.c[slot];
  const narrow = plot.clientWidth < NARROW;
  const traces = [];
  const ends = [];
  if (forecast) {
    const from = forecast.k.findIndex((k) => k >= reach);
    const tail = Object.fromEntries(["k", "coverage", "lo", "hi"].map((name) => [name, forecast[name].slice(Math.max(0, from))]));
    traces.push(...bandedLine({ x: tail.k, y: tail.coverage, lo: tail.lo, hi: tail.hi, colour, dash: "dash", width: 1.75, hover: `Forecast, ${HOVER}${BAND}` }));
    ends.push({ x: tail.k.at(-1), y: tail.coverage.at(-1), text: `forecast ${percent(tail.coverage.at(-1))}`, colour });
  }
  if (law) {
    traces.push(...bandedLine({ x: law.k, y: law.coverage, colour: look.muted, dash: "dot", width: 1.75, hover: `Power law, ${HOVER}` }));
    ends.push({ x: law.k.at(-1), y: law.coverage.at(-1), text: `power law ${percent(law.coverage.at(-1))}`, colour: look.muted });
  }
  traces.push(...bandedLine({ x: measured.k, y: measured.coverage, lo: measured.lo, hi: measured.hi, colour, markers: plot.clientWidth >= NARROW, hover: `Measured, ${HOVER}${BAND}` }));
  const most = Math.max(reach, forecast?.k.at(-1) || 0, law?.k.at(-1) || 0);
  const layout = plotLayout(plot, { x: samplesAxis(most, narrow), ends, revision: `forecast-${reach}`, ...ruler(reach, look, "measured", "forecast") });
  const cells = (curve, i) => (curve ? [curve.coverage[i], curve.lo?.[i], curve.hi?.[i]] : [null, null, null]);
  const ks = [...new Set([...measured.k, ...(forecast || law || measured).k])].sort((a, b) => a - b);
  const raw = ks.map((k) => [k, ...cells(measured.k.includes(k) && measured, measured.k.indexOf(k)), ...cells(forecast?.k.includes(k) && forecast, forecast?.k.indexOf(k)), law?.k.includes(k) ? law.coverage[law.k.indexOf(k)] : null]);
  return {
    traces, layout, raw, rows: raw.map(([k, ...values]) => [count(k), ...values.map((value) => (value === null || value === undefined ? "" : percent(value)))]),
    heads: ["k", "Measured", "from", "to", "Forecast", "from", "to", "Power law"], caption: "Coverage for k samples: measured, forecast, power law",
    label: forecastText({ measured, forecast, law, reach, extra }),
  };
}

function backtestFigure(plot, { measured, backtest: test }, slot) {
  const look = currentLook();
  const colour = look.c[slot];
  const traces = bandedLine({ x: test.k, y: test.predicted, lo: test.lo, hi: test.hi, colour, dash: "dash", width: 1.75, hover: `Predicted, ${HOVER}${BAND}` });
  const ends = [{ x: test.k.at(-1), y: test.predicted.at(-1), text: `predicted ${percent(test.predicted.at(-1))}`, colour }];
  if (test.power_law.some((value) => value !== null)) {
    traces.push(...bandedLine({ x: test.k, y: test.power_law, colour: look.muted, dash: "dot", width: 1.75, hover: `Power law, ${HOVER}` }));
    ends.push({ x: test.k.at(-1), y: test.power_law.at(-1), text: `power law ${percent(test.power_law.at(-1))}`, colour: look.muted });
  }
  traces.push(...bandedLine({ x: measured.k, y: measured.coverage, colour, markers: plot.clientWidth >= NARROW, hover: `Measured, ${HOVER}` }));
  ends.push({ x: measured.k.at(-1), y: measured.coverage.at(-1), text: `measured ${percent(measured.coverage.at(-1))}`, colour: look.strong });
  const layout = plotLayout(plot, { x: samplesAxis(measured.k.at(-1), plot.clientWidth < NARROW), ends, revision: `backtest-${test.first}`, ...ruler(test.first, look, "used for the fit", "predicted") });
  const raw = test.k.map((k, i) => [k, test.measured[i], test.predicted[i], test.lo[i], test.hi[i], test.power_law[i]]);
  return {
    traces, layout, raw, rows: raw.map(([k, ...values]) => [count(k), ...values.map((value) => (value === null ? "" : percent(value)))]),
    heads: ["k", "Measured", "Predicted", "from", "to", "Power law"], caption: `Coverage predicted from ${test.first} samples and measured with all`, label: backtestText(test),
  };
}

/** A dotted line at k with words on both sides. */
function ruler(k, look, left, right) {
  const line = { type: "line", xref: "x", yref: "paper", x0: k, x1: k, y0: 0, y1: 1, line: { color: look.muted, width: 1, dash: "dot" } };
  const note = (text, anchor, shift) => ({ x: Math.log10(k), y: 0, yref: "paper", yanchor: "bottom", xanchor: anchor, xshift: shift, showarrow: false, text, font: { size: 12, color: look.text } });
  return { shapes: [line], notes: [note(left, "right", -6), note(right, "left", 6)] };
}

function forecastText({ forecast, law, measured, reach, extra }) {
  const parts = [`Measured: ${percent(measured.coverage.at(-1))} at k = ${count(measured.k.at(-1))}.`];
  if (extra) parts.push(`${count(extra)} samples of extra draws count in the beta-binomial law alone; the others would be biased by them.`);
  if (forecast) parts.push(`At k = ${count(forecast.k.at(-1))} the beta-binomial law says ${percent(forecast.coverage.at(-1))} (${percent(forecast.lo.at(-1))} to ${percent(forecast.hi.at(-1))})${forecast.fit?.impossible >= 0.005 ? `, with ${percent(forecast.fit.impossible, 0)} of problems out of reach` : ""}.`);
  if (law) parts.push(`The power law exp(${law.a.toPrecision(3)} k^${law.b.toPrecision(2)}) says ${percent(law.coverage.at(-1))}; it reads high on hard tasks.`);
  if (!forecast && !law) parts.push("No law can be fitted to so few problems.");
  return parts.join(" ");
}

function backtestText(test) {
  const paper = test.power_law_error === null ? "" : `, the power law by ${points(test.power_law_error)}`;
  return `Fitted on a random tenth (${count(test.first)} samples of each problem), the law misses the rest by ${points(test.error)} points (root mean square)${paper}. ${percent(test.inside, 0)} of the measured points lie in its 95% interval.`;
}

function legend(isBacktest, slot) {
  const items = [legendItem(`c${slot}`, "solid", "measured, unbiased"), legendItem(`c${slot}`, "dash", isBacktest ? "predicted from a tenth" : "forecast, beta-binomial"), legendItem("c8", "dot", "power law exp(a k^b)")];
  items.splice(1, 0, element("li", {}, element(`i.swatch.c${slot}`), "95%"));
  return items;
}
