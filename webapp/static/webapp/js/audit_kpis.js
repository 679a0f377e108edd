// The tiles with the key figures of an audit.

import { element, setText } from "./dom.js";
import { count, percent } from "./format.js";
import { onState, tellKept } from "./live.js";

function fill(name, value, unit, note) {
  const box = document.querySelector(`[data-kpi="${name}"]`);
  const target = box.querySelector(".kpi-value");
  const text = `${value}|${unit}`;
  if (target.dataset.text !== text) {
    target.dataset.text = text;
    target.replaceChildren(value, ...(unit ? [element("small", {}, unit)] : []));
  }
  if (note) setText(box.querySelector(".kpi-note"), note);
}

function drawKpis({ kind }) {
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

tellKept(({ kind }) => (kind.graded ? `The verdicts on ${count(kind.graded)} problems are kept.` : "Nothing was graded before."));
onState(drawKpis);
