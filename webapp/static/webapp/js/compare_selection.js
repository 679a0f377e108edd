// Selection against coverage on the compare page: one method of each run (the vote, where there are answers), or all of one.

import { selectionFigure, selectionLegend, selectionText } from "./analysis_selection.js";
import { legendItem, showEmpty } from "./analysis_parts.js";
import { remember, setText } from "./dom.js";
import { bandedLine, currentLook, escapeText, mountFigure, NARROW, plotLayout, samplesAxis } from "./figure.js";
import { loadEach } from "./forecasts.js";
import { count, percent } from "./format.js";

const ALL_AT_FIRST = 4; // runs; counting the answers of more is left to a choice of the reader's
const HOVER = "k = %{x}<br>%{y:.1%}";

export function mountCompareSelection(panel, state) {
  const select = panel.querySelector("[data-pick]");
  const found = new Map(); // code -> data, null when it could not be had
  const asked = new URLSearchParams(location.search).get("pick");
  const usual = state.series.runs.length <= ALL_AT_FIRST ? "all" : state.series.runs[0].code;
  select.value = [...select.options].some(({ value }) => value === asked) ? asked : usual;
  let seen = false;
  const redraw = mountFigure(panel, "selection", (plot) => draw(plot));

  const wanted = () => state.series.runs.filter((run) => run.curve.k.length && (select.value === "all" || run.code === select.value));
  const ready = () => wanted().map((run) => ({ run, data: found.get(run.code) })).filter(({ data }) => data?.methods?.length);

  async function load() {
    const missing = wanted().filter((run) => !found.has(run.code));
    if (missing.length) showEmpty(panel, "Counting answers", missing.length > 1 ? `Of ${missing.length} experiments.` : missing[0].name);
    redraw();
    words();
    await loadEach(missing, "selection", (run, data) => { found.set(run.code, data); redraw(); words(); });
    if (!ready().length) showEmpty(panel, "Nothing to select by", wanted().map((run) => found.get(run.code)?.why).find(Boolean) || "There are no graded answers yet.");
    redraw();
  }

  function draw(plot) {
    const shown = ready();
    if (!shown.length) return null;
    return select.value === "all" ? allFigure(plot, shown) : selectionFigure(plot, shown[0].data, shown[0].run.slot);
  }

  function words() {
    const shown = ready();
    const legend = panel.querySelector("[data-legend]");
    if (!shown.length) { legend.replaceChildren(); return; }
    if (select.value !== "all") {
      legend.replaceChildren(...selectionLegend(shown[0].data, shown[0].run.slot));
      setText(panel.querySelector("[data-foot]"), selectionText(shown[0].data));
      return;
    }
    legend.replaceChildren(...shown.map(({ run }) => legendItem(`c${run.slot}`, run.dash, run.name)), legendItem("c8", "solid", "coverage, thin"), legendItem("c8", "dash", [...new Set(shown.map(({ data }) => lower(voteOf(data))))].join(" or ")));
    setText(panel.querySelector("[data-foot]"), shown.map(({ run, data }) => `${run.name}: ${gapText(data)}`).join(" "));
  }

  select.addEventListener("change", () => {
    remember("pick", select.value === usual ? null : select.value);
    load();
  });
  // Counting the answers of millions of samples is work that nobody should cause by merely opening the page.
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    seen = true;
    load();
  }, { rootMargin: "200px" }).observe(panel);
  return () => { if (seen) { redraw(); words(); } };
}

// Proofs and programs have no answers to vote on: their first other method stands in, under its own name.
const voteOf = (data) => data.methods.find(({ name }) => name === "majority") || data.methods[0];
const lower = ({ title }) => title[0].toLowerCase() + title.slice(1);

function gapText(data) {
  const vote = voteOf(data);
  return `${lower(vote)} keeps ${percent(vote.coverage.at(-1))} of ${percent(data.measured.coverage.at(-1))}.`;
}

function allFigure(plot, shown) {
  const look = currentLook();
  const traces = shown.flatMap(({ run, data }) => {
    const colour = look.c[run.slot];
    const vote = voteOf(data);
    return [
      ...bandedLine({ x: data.measured.k, y: data.measured.coverage, colour, width: 1, hover: `<b>${escapeText(run.name)}</b>, coverage<br>${HOVER}` }),
      ...bandedLine({ x: vote.k, y: vote.coverage, colour, dash: "dash", hover: `<b>${escapeText(run.name)}</b>, ${vote.title}<br>${HOVER}` }),
    ];
  });
  const ends = shown.map(({ run, data }) => { const vote = voteOf(data); return { x: vote.k.at(-1), y: vote.coverage.at(-1), text: run.name, colour: look.c[run.slot] }; });
  const most = Math.max(...shown.map(({ data }) => data.measured.k.at(-1)));
  const raw = shown.flatMap(({ run, data }) => { const vote = voteOf(data); return data.measured.k.map((k, i) => { const at = vote.k.indexOf(k); return [run.name, k, data.measured.coverage[i], vote.title, at < 0 ? null : vote.coverage[at]]; }); });
  return {
    traces, layout: plotLayout(plot, { x: samplesAxis(most, plot.clientWidth < NARROW), ends, revision: "all" }), raw,
    rows: raw.map(([name, k, coverage, method, kept]) => [name, count(k), percent(coverage), method, kept === null ? "" : percent(kept)]),
    heads: ["Experiment", "k", "Coverage", "Selector", "Kept"], caption: "Coverage of each experiment and what a selector keeps of it",
    label: shown.map(({ run, data }) => `${run.name}: ${gapText(data)}`).join(" "),
  };
}
