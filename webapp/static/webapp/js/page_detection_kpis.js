// The key figures above each tab of a detection experiment.

import { mountKpis } from "./detection_kpis.js";
import { count } from "./format.js";
import { drawCount, onState, tellKept } from "./live.js";

tellKept(({ kind }) => {
  const epochs = kind.runs.reduce((sum, run) => sum + run.epochs, 0);
  return epochs ? `The ${count(epochs)} epochs trained before are kept with their checkpoints; a retry goes on from them.` : "Nothing was trained before.";
});
onState(mountKpis(document.querySelector(".kpis")));
onState((state) => drawCount("predictions", state.kind.predictions));
