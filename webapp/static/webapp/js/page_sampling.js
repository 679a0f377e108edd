// The Overview tab of a sampling experiment.

import { mountCoverage } from "./coverage.js";
import { bound } from "./dom.js";
import { mountEngine } from "./engine.js";
import { onState, page } from "./live.js";
import { latestLines } from "./log.js";
import { mountProblems } from "./problems.js";
import { drawVerdicts } from "./verdicts.js";

onState(mountCoverage(document.getElementById("coverage")));
onState(mountEngine(document.getElementById("engine")));
onState(mountProblems(document.getElementById("problems"), page.samples));
onState((state) => drawVerdicts(state.kind));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
