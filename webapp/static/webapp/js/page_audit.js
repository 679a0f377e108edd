// The Overview tab of an audit.

import { mountAudit } from "./audit.js";
import { bound, element, icon, setHidden, setText } from "./dom.js";
import { count, percent } from "./format.js";
import { onState } from "./live.js";
import { latestLines } from "./log.js";
import { hasEnded } from "./state.js";

const MOST = 50; // problems listed with their reasons; the table and the CSV have all
const OUTCOMES = ["correct", "wrong", "error", "timeout"];

onState(mountAudit(document.getElementById("audit")));
if (document.getElementById("confusion")) { // not where one chart is shared
  onState((state) => drawConfusion(document.getElementById("confusion"), state.kind));
  onState((state) => drawList(document.getElementById("mistaken"), state));
}
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));

function drawConfusion(panel, kind) {
  const rows = [["Right answers", kind.right, "correct"], ["Wrong answers", kind.wrong, "wrong"]];
  const signature = JSON.stringify(rows);
  if (panel.dataset.signature === signature) return;
  panel.dataset.signature = signature;
  const all = [...kind.right, ...kind.wrong].reduce((sum, value) => sum + value, 0);
  setText(panel.querySelector("[data-sub]"), `${count(all)} verdicts`);
  const head = element("tr", {}, element("th", { scope: "col" }, "Graded as"), ...OUTCOMES.map((name) => element("th.num", { scope: "col" }, name)));
  const body = rows.map(([title, counts, expected]) => element("tr", {}, element("th", { scope: "row" }, title), ...counts.map((value, i) => {
    const mistaken = value && OUTCOMES[i] !== expected && i < 2;
    return element(mistaken ? "td.num.bad" : "td.num", { title: shareText(value, counts) }, count(value));
  })));
  panel.querySelector("[data-confusion]").replaceChildren(element("table.table.compact", {},
    element("caption.sr-only", {}, "How often right and wrong answers got which verdict"), element("thead", {}, head), element("tbody", {}, ...body)));
}

function shareText(value, counts) {
  const all = counts.reduce((sum, each) => sum + each, 0);
  return all ? `${percent(value / all)} of ${count(all)}` : "none is known";
}

function drawList(panel, state) {
  const { kind } = state;
  const flagged = kind.problems.filter((row) => row[6].length);
  const signature = `${state.seq}|${hasEnded(state)}`;
  if (panel.dataset.signature === signature) return;
  panel.dataset.signature = signature;
  flagged.sort(byFlags);
  setText(panel.querySelector("[data-sub]"), flagged.length > MOST ? `the first ${MOST} of ${count(flagged.length)} problems` : flagged.length ? `${count(flagged.length)} problems` : "");
  panel.querySelector("[data-list]").replaceChildren(...flagged.slice(0, MOST).map(([, uid, , , , , flags, reason]) =>
    element("li", { "data-flag": flags[0] }, icon(flags[0] === "undecided" ? "clock" : "warn"),
      element("span", {}, element("b.strong", {}, uid), ` ${flags.join(", ")}`, element("span.sub", {}, reason)))));
  const nothing = panel.querySelector("[data-nothing]");
  setHidden(nothing, flagged.length > 0);
  setText(nothing.querySelector("h2"), hasEnded(state) ? "Nothing to complain of" : "Nothing so far");
  setText(nothing.querySelector("p"), !kind.audited ? "No known answer has been graded yet."
    : `Every known answer of ${count(kind.audited)} problems got the verdict it should have, each time.`);
}

/** Flaky problems first, then those that reject a right answer, accept a wrong one, or end undecided. */
export function byFlags(a, b) {
  const order = ["flaky", "false negative", "false positive", "undecided"];
  const rank = (row) => (row[6].length ? order.indexOf(row[6][0]) : order.length);
  return rank(a) - rank(b) || a[0] - b[0];
}
