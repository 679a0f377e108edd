// "Is drawing more worth it?": newly solved problems to expect from further samples, and what they take.

import { element, table, setHidden, setText } from "./dom.js";
import { amount } from "./costs.js";
import { count, short } from "./format.js";

const rate = (value) => (value >= 10 ? count(value) : String(Number(value.toPrecision(2))));
const one = (value) => (value < 0.05 ? "under 0.1" : value.toFixed(value < 10 ? 1 : 0));

export function drawWorth(panel, data) {
  const body = panel.querySelector("[data-body]");
  const foot = panel.querySelector("[data-foot]");
  const gains = data?.gains;
  setHidden(foot, !gains || !gains.unsolved);
  if (!gains) { body.replaceChildren(element("p.muted", {}, data ? "Nothing can be said before problems have graded samples." : "Could not be computed. Reload the page to try again.")); return; }
  if (!gains.unsolved) { body.replaceChildren(element("p.worth-lead", {}, element("b", {}, "No."), " Every problem is solved already.")); return; }
  const rows = gains.more.map((more, i) => [
    `+ ${count(more)}`, `${one(gains.newly_solved[i])} (${count(Math.floor(gains.lo[i]))} to ${count(Math.ceil(gains.hi[i]))})`,
    gains.seconds_per_sample ? amount(gains.seconds_per_sample * gains.samples[i], "gpu") : short(gains.samples[i]),
    ...(gains.dollars_per_sample ? [amount(gains.dollars_per_sample * gains.samples[i], "dollars")] : []),
  ]);
  const heads = ["Samples more", "Newly solved", gains.seconds_per_sample ? gains.time : "Samples", ...(gains.dollars_per_sample ? ["US$"] : [])];
  const rates = [["Solved per 1,000 samples", gains.per_sample, 1000], [`Solved per ${gains.time.replace(" time", "")} hour`, gains.per_gpu_hour, 1], ["Solved per US$", gains.per_dollar, 1]].filter(([, values]) => values);
  const rateRows = gains.more.map((more, i) => [`+ ${count(more)}`, ...rates.map(([, values, times]) => rate(values[i] * times))]);
  body.replaceChildren(element("p.worth-lead", {}, ...lead(gains)),
    table("Newly solved problems to expect from more samples", heads, rows),
    table("Newly solved problems for what is spent", ["Samples more", ...rates.map(([title]) => title)], rateRows),
    element("p.muted.small", {}, onlyUnsolved(gains)));
  setText(foot.firstElementChild, footText(gains));
}

function lead(gains) {
  const [more, solved] = [gains.more[0], gains.newly_solved[0]];
  return ["Doubling to ", element("b", {}, `${count(2 * more)} samples`), " should solve ", element("b", {}, `${one(solved)} of the ${count(gains.unsolved)} unsolved`), " problems."];
}

/** "Draw more" draws on every problem, but only unsolved ones can be newly solved. */
function onlyUnsolved(gains) {
  const share = (gains.unsolved * gains.more[0]) / gains.samples[0];
  return `Spent on the ${count(gains.unsolved)} unsolved problem${gains.unsolved === 1 ? "" : "s"} alone, the same would take ${(100 * share).toFixed(0)}% of this.`;
}

function footText(gains) {
  const first = gains.per_sample[0];
  const last = gains.per_sample.at(-1);
  const fade = first > 0 && last > 0 ? ` The last samples bring ${(first / last).toFixed(first / last < 10 ? 1 : 0)} times less each than the first.` : "";
  return `Model-based, from the beta-binomial fit; in brackets a 95% prediction interval.${fade}`;
}
