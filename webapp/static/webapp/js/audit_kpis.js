// The tiles with the key figures of an audit.

import { element, setText } from "./dom.js";
import { count, percent } from "./format.js";

/** `box` holds the tiles; returns draw(state). */
export function mountKpis(box) {
  function fill(name, value, unit, note) {
    const tile = box.querySelector(`[data-kpi="${name}"]`);
    const target = tile.querySelector(".kpi-value");
    const text = `${value}|${unit}`;
    if (target.dataset.text !== text) {
      target.dataset.text = text;
      target.replaceChildren(value, ...(unit ? [element("small", {}, unit)] : []));
    }
    if (note) setText(tile.querySelector(".kpi-note"), note);
  }

  function draw({ kind }) {
    const of = (flag) => count(kind.flags[flag] || 0);
    fill("audited", count(kind.graded - kind.unknown), `of ${count(kind.total_problems)}`, kind.unknown ? `${count(kind.unknown)} without a known answer` : `each answer ${count(kind.repeats)} times`);
    if (!kind.audited) return;
    fill("mistaken", count(kind.mistaken), `of ${count(kind.audited)}`, `${percent(kind.mistaken / kind.audited)} of those audited`);
    fill("flaky", of("flaky"));
    fill("negative", of("false negative"));
    const known = kind.wrong_answers;
    fill("positive", known ? of("false positive") : "–", "", known ? `${count(known)} wrong answers known` : "no wrong answer is known");
    fill("undecided", of("undecided"));
  }

  return draw;
}
