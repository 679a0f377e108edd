// How many samples got which verdict: numbers with a bar, each a link to those samples.

import { bound, element, icon, setText } from "./dom.js";
import { count, percent } from "./format.js";
import { page } from "./live.js";

const ROWS = [
  ["correct", "Correct", "check"], ["wrong", "Wrong", "x"], ["error", "Grader error", "warn"],
  ["timeout", "Grader timeout", "clock"], ["pending", "Not graded yet", "ring"],
];

export function drawVerdicts(kind) {
  const list = bound("verdicts");
  if (!list.children.length) list.append(...ROWS.map(row));
  setText(bound("verdict-sub"), kind.drawn ? `${count(kind.graded)} of ${count(kind.drawn)} samples graded` : "");
  ROWS.forEach(([name], i) => {
    const value = kind.counts[name] || 0;
    const item = list.children[i];
    setText(item.querySelector(".value"), count(value));
    // Verdicts as shares of what was graded, so that "correct" reads like pass@1; what is left of what was drawn.
    const whole = name === "pending" ? kind.drawn : kind.graded;
    setText(item.querySelector(".share"), whole ? percent(value / whole) : "–");
    const bar = item.querySelector("progress");
    bar.max = Math.max(1, whole);
    bar.value = value;
  });
}

function row([name, title, sign]) {
  const label = page.samples ? element("a.link-quiet", { href: `${page.samples}?verdict=${name}` }, title) : element("span", {}, title);
  return element("li", { "data-verdict": name }, icon(sign), label, element("span.value", {}, "0"), element("span.share", {}, "–"),
    element("progress.data", { max: 1, value: 0, "aria-label": `Share of verdict ${title}` }));
}
