// How a method looks in a figure and a legend, and the axes that detection figures share.

import { svg, viewOf } from "./dom.js";

const SYMBOLS = { none: "square", largest: "triangle-up", ellipse: "circle", perfect: "circle-open", random: "x", rotiou: "cross" };
export const symbolOf = ({ rule, gated }) => (gated ? "diamond" : SYMBOLS[rule] || "pentagon");

/** An angle as the pages write it: 30°. */
export const degrees = (angle) => `${Number(angle.toFixed(1))}°`;

export function swatch(slot, dash) {
  const line = svg("path", { class: `line${dash === "solid" ? "" : ` d-${dash}`}`, d: "M0 5H18" });
  return svg("svg", { class: `c${slot}`, viewBox: "0 0 18 10", "aria-hidden": "true" }, line);
}

/** A button that is on or off, kept in the view; returns whether it is on at the start. */
export function toggle(button, key, onChange) {
  const kept = viewOf(button);
  let on = kept.get(key) === "1";
  const mark = () => button.setAttribute("aria-pressed", on);
  button.addEventListener("click", () => {
    on = !on;
    mark();
    kept.set(key, on ? "1" : null);
    onChange(on);
  });
  mark();
  return on;
}

/** A select that is kept in the view; returns what is chosen at the start. */
export function pick(select, key, onChange) {
  const first = select.options[0].value;
  const kept = viewOf(select);
  const asked = kept.get(key);
  if ([...select.options].some(({ value }) => value === asked)) select.value = asked;
  select.addEventListener("change", () => {
    kept.set(key, select.value === first ? null : select.value);
    onChange(select.value);
  });
  return select.value;
}

/** Angles along x. */
export const angleAxis = (angles, title = "test rotation") => {
  const low = Math.min(...angles);
  const high = Math.max(...angles);
  const room = (high - low || 1) * 0.03;
  const shown = angles.length > 12 ? angles.filter((_, i) => i % 2 === 0) : angles;
  return { type: "linear", range: [low - room, high + room], tickvals: shown, ticktext: shown.map(degrees), title: { text: title } };
};

/** Average precisions or shares along y, from 0 to a little above the largest, written in points. */
export function shareAxis(values, { floor = 0.1 } = {}) {
  const top = Math.min(1, Math.max(floor, ...values) * 1.08);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((each) => top / each <= 6) || 0.2;
  const ticks = [];
  for (let value = 0; value <= top + 1e-9; value += step) ticks.push(value);
  return { range: [0, top], tickvals: ticks, ticktext: ticks.map((value) => String(Math.round(100 * value))), tickformat: "", dtick: undefined };
}
