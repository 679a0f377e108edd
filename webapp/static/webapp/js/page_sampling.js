// The Overview tab of a sampling experiment.

import { mountCoverage } from "./coverage.js";
import { bound, fetchJson } from "./dom.js";
import { mountEngine } from "./engine.js";
import { onState, page } from "./live.js";
import { latestLines } from "./log.js";
import { mountProblems } from "./problems.js";
import { mountVerdicts } from "./verdicts.js";

const coverage = document.getElementById("coverage");
onState(mountCoverage(coverage, () => fetchJson(coverage.dataset.forecast)));
const engine = document.getElementById("engine"); // not in imports
if (engine) onState(mountEngine(engine));
onState(mountProblems(document.getElementById("problems"), page.samples));
onState(mountVerdicts(document.getElementById("verdicts"), page.samples));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
