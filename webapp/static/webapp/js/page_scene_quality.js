// The Quality tab: the evaluation, and held-out views beside what is rendered of them.

import { tableToggle, setHidden } from "./dom.js";
import { getState, onState } from "./live.js";
import { mountPart } from "./parts.js";
import { mountScores } from "./scenes_scores.js";

const part = document.querySelector("[data-browser]");
let seen = 0; // the step that the views on the page are of

const newestStep = ({ kind }) => Math.max(0, ...kind.views.map(({ step }) => step));

onState(mountScores(document.getElementById("scores")));
if (part) {
  const show = mountPart(part, (fresh) => {
    seen = newestStep(getState());
    const panel = fresh.querySelector("#views");
    if (panel.querySelector("[data-as-table]")) {
      tableToggle(panel, "views", (asTable) => { setHidden(panel.querySelector("[data-views]"), asTable); setHidden(panel.querySelector("[data-table]"), !asTable); });
    }
  });
  part.addEventListener("click", (event) => { if (event.target.closest("[data-new]")) show(location.href, { push: false }); });
  onState((state) => setHidden(part.querySelector("[data-new]"), newestStep(state) <= seen));
}
