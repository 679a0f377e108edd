// The key figures above each tab of a scene experiment.

import { drawCount, onState, tellKept } from "./live.js";
import { mountKpis } from "./scenes_kpis.js";
import { STAGES } from "./scenes_state.js";

tellKept(({ kind }) => {
  const trained = kind.runs.filter(({ stopped }) => stopped === "finished" || stopped === "reused").map(({ stage }) => STAGES[stage].toLowerCase());
  const open = kind.runs.find(({ stopped, progress }) => !stopped && progress.step);
  const parts = [trained.length ? `Trained and kept: ${trained.join(", ")}.` : "", open ? `A retry goes on from the last checkpoint of the ${STAGES[open.stage].toLowerCase()}.` : ""];
  return parts.filter(Boolean).join(" ") || "Nothing was trained before.";
});
onState(mountKpis(document.querySelector(".kpis")));
onState((state) => drawCount("scenes", state.kind.counts.drawn));
