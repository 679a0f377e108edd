// The Overview tab of a sampling experiment.

import { mountCoverage } from "./coverage.js";
import { bound, fetchJson } from "./dom.js";
import { mountEngine } from "./engine.js";
import { onState, page } from "./live.js";
import { latestLines } from "./log.js";
import { mountProblems } from "./problems.js";
import { mountVerdicts } from "./verdicts.js";

// Imports have no engine, and the page of one shared chart has nothing else.
const [coverage, engine, problems, verdicts] = ["coverage", "engine", "problems", "verdicts"].map((id) => document.getElementById(id));
if (coverage) onState(mountCoverage(coverage, () => fetchJson(coverage.dataset.forecast)));
if (engine) onState(mountEngine(engine));
if (problems) onState(mountProblems(problems, page.samples));
if (verdicts) onState(mountVerdicts(verdicts, page.samples));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
