// The Analysis tab: figures whose data is computed on demand. A running experiment offers to compute them again.

import { mountForecast } from "./analysis_forecast.js";
import { mountSelection } from "./analysis_selection.js";
import { mountVotes } from "./analysis_votes.js";
import { drawWorth } from "./analysis_worth.js";
import { element } from "./dom.js";
import { count } from "./format.js";
import { getState, onState } from "./live.js";
import { hasEnded } from "./state.js";

const root = document.getElementById("analysis");
const stale = document.querySelector("[data-stale]");
const slot = Number(root.dataset.colour);
const parts = {
  forecast: [mountForecast(document.getElementById("forecast"), slot), (data) => drawWorth(document.getElementById("worth"), data)],
  selection: [mountSelection(document.getElementById("selection"), slot), mountVotes(document.getElementById("votes"))],
};
let computedFrom = null; // graded and scored samples the figures are made from
let busy = false;

async function compute() {
  busy = true;
  computedFrom = judged(getState());
  stale.hidden = true;
  await Promise.all(Object.entries(parts).map(async ([name, views]) => {
    try {
      const answer = await fetch(root.dataset.url.replace("NAME", name));
      if (!answer.ok) throw new Error(answer.statusText);
      const data = await answer.json();
      for (const view of views) view(data);
    } catch { for (const view of views) view(null); }
  }));
  busy = false;
  offer(getState());
}

const judged = ({ kind }) => [kind.graded, kind.scored];

/** New samples never redraw a figure that is being read; when the experiment ends it is computed one last time. */
function offer(state) {
  if (computedFrom === null || busy) return;
  const [graded, scored] = judged(state).map((now, i) => Math.abs(now - computedFrom[i]));
  if ((graded || scored) && hasEnded(state)) { compute(); return; }
  stale.hidden = !graded && !scored;
  const parts = [graded && `${count(graded)} samples were graded`, scored && `${count(scored)} were scored`].filter(Boolean);
  stale.querySelector("[data-stale-text]").textContent = `${parts.join(" and ")} since these figures were computed.`;
}

stale.querySelector("[data-again]").addEventListener("click", compute);
for (const wait of root.querySelectorAll("[data-wait]")) {
  wait.replaceChildren(element("span.skeleton.chart", { "aria-hidden": "true" }), element("div.state", {}, element("p", { role: "status" }, "Computing …")));
}
compute();
onState(offer);
