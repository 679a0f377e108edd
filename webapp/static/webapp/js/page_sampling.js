// The Overview tab of a sampling experiment.

import { mountCoverage } from "./coverage.js";
import { bound } from "./dom.js";
import { mountEngine } from "./engine.js";
import { onState, page } from "./live.js";
import { latestLines } from "./log.js";
import { mountProblems } from "./problems.js";
import { drawVerdicts } from "./verdicts.js";

// Imports have no engine, and the page of one shared chart has nothing else.
const [coverage, engine, problems] = ["coverage", "engine", "problems"].map((id) => document.getElementById(id));
if (coverage) onState(mountCoverage(coverage));
if (engine) onState(mountEngine(engine));
if (problems) onState(mountProblems(problems, page.samples));
if (bound("verdicts")) onState((state) => drawVerdicts(state.kind));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
