// The key figures above each tab of an audit.

import { mountKpis } from "./audit_kpis.js";
import { count } from "./format.js";
import { onState, tellKept } from "./live.js";

tellKept(({ kind }) => (kind.graded ? `The verdicts on ${count(kind.graded)} problems are kept.` : "Nothing was graded before."));
onState(mountKpis(document.querySelector(".kpis")));
