// How many samples got which verdict: numbers with a bar, each a link to those samples.

import { element, icon, setText } from "./dom.js";
import { count, percent } from "./format.js";

const ROWS = [
  ["correct", "Correct", "check"], ["wrong", "Wrong", "x"], ["error", "Grader error", "warn"],
  ["timeout", "Grader timeout", "clock"], ["pending", "Not graded yet", "ring"],
];

/** `samplesUrl`: empty where sample texts are not shown. */
export function mountVerdicts(panel, samplesUrl) {
  const list = panel.querySelector("[data-verdicts]");
  const sub = panel.querySelector("[data-sub]");
  list.append(...ROWS.map((each) => row(each, samplesUrl)));
  return ({ kind }) => draw(list, sub, kind);
}

function draw(list, sub, kind) {
  setText(sub, kind.drawn ? `${count(kind.graded)} of ${count(kind.drawn)} samples graded` : "");
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

function row([name, title, sign], samplesUrl) {
  const label = samplesUrl ? element("a.link-quiet", { href: `${samplesUrl}?verdict=${name}` }, title) : element("span", {}, title);
  return element("li", { "data-verdict": name }, icon(sign), label, element("span.value", {}, "0"), element("span.share", {}, "–"),
    element("progress.data", { max: 1, value: 0, "aria-label": `Share of verdict ${title}` }));
}
