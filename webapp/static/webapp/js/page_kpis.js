// The key figures above each tab of a sampling experiment.

import { count } from "./format.js";
import { mountKpis } from "./kpis.js";
import { drawCount, onState, tellKept } from "./live.js";

tellKept(({ kind, stages, status }) => (kind.drawn ? `The ${count(kind.drawn)} samples drawn before are kept, and everything below is made from them.`
  : stages[0]?.name !== "import" ? "Nothing was drawn before."
  : status === "failed" ? "Nothing of the file was stored. Correct it and upload it again: reading the same one again would end the same way."
  : "Nothing of the file was stored."));
onState(mountKpis(document.querySelector(".kpis")));
onState((state) => drawCount("samples", state.kind.drawn));
