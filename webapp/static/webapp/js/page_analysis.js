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
let computedFrom = null; // graded samples the figures are made from
let busy = false;

async function compute() {
  busy = true;
  computedFrom = getState().kind.graded;
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

/** New samples never redraw a figure that is being read; when the experiment ends it is computed one last time. */
function offer(state) {
  if (computedFrom === null || busy) return;
  const fresh = state.kind.graded - computedFrom;
  if (fresh !== 0 && hasEnded(state)) { compute(); return; }
  stale.hidden = fresh === 0;
  stale.querySelector("[data-stale-text]").textContent = `${count(Math.abs(fresh))} samples were graded since these figures were computed.`;
}

stale.querySelector("[data-again]").addEventListener("click", compute);
for (const wait of root.querySelectorAll("[data-wait]")) {
  wait.replaceChildren(element("span.skeleton.chart", { "aria-hidden": "true" }), element("div.state", {}, element("p", { role: "status" }, "Computing …")));
}
compute();
onState(offer);
