// The evaluation as a table: the scenes, beside what the auto-encoder alone and real pictures among themselves come to.

import { element, setText } from "./dom.js";
import { saveCsv } from "./figure.js";
import { count } from "./format.js";
import { score, scoreTable, SUBJECTS } from "./scenes_state.js";

const BETTER = { high: "higher is better", low: "lower is better" };

export function mountScores(panel) {
  const body = panel.querySelector("[data-body]");
  let drawn = "";
  let rows = [];
  const wanted = panel.dataset.subjects?.split(" ") || Object.keys(SUBJECTS);
  const subjects = () => wanted.filter((subject) => rows.some(({ cells }) => cells[subject])); // columns with something in them
  panel.querySelector("[data-csv]").addEventListener("click", () => saveCsv({
    heads: ["Measure", "Unit", ...subjects().map((subject) => SUBJECTS[subject])], rows: rows.map(({ title, unit, cells }) => [title, unit, ...subjects().map((subject) => cells[subject]?.value ?? "")]),
  }, "evaluation.csv"));
  return ({ kind, status }) => {
    const signature = JSON.stringify([kind.scores, status]);
    if (signature === drawn) return;
    drawn = signature;
    rows = scoreTable(kind.scores);
    panel.querySelector("[data-csv]").disabled = !rows.length;
    if (!rows.length) {
      const waits = status === "queued" || status === "running";
      body.replaceChildren(element("div.state", { "data-state": "empty" }, element("h2", {}, waits ? "Measured at the end" : "Not measured"),
        element("p", {}, waits ? "When the scenes are drawn, their pictures are held against real ones, and held-out views against what the model renders." : "The experiment ended before its scenes were measured.")));
      setText(panel.querySelector("[data-foot]"), "");
      return;
    }
    body.replaceChildren(element("div.table-wrap", { tabindex: 0, role: "group", "aria-label": "Evaluation as a table" }, tableOf()));
    setText(panel.querySelector("[data-sub]"), "");
    setText(panel.querySelector("[data-foot]"), "Scenes cannot come closer than real pictures come to real pictures, nor sharper than the auto-encoder shows what it was given.");
  };

  function tableOf() {
    const heads = ["Measure", ...subjects().map((subject) => SUBJECTS[subject])].map((title, i) => element(i ? "th.num" : "th", { scope: "col" }, title));
    const lines = rows.map(({ title, unit, better, note, cells }) => element("tr", {},
      element("th", { scope: "row" }, title, element("span.sub", {}, [unit && `in ${unit}`, BETTER[better], note].filter(Boolean).join("; "))),
      ...subjects().map((subject) => element("td.num", { title: cells[subject]?.count ? `over ${count(cells[subject].count)}` : null }, subject === "samples" ? element("b.strong", {}, score(cells[subject]?.value)) : score(cells[subject]?.value)))));
    return element("table.table.compact.score-table", {}, element("caption.sr-only", {}, "Measures of the scenes beside the auto-encoder's and real pictures'"), element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines));
  }
}
