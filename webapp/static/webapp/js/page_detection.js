// The Overview tab of a detection experiment.

import { bound } from "./dom.js";
import { mountData } from "./detection_data.js";
import { mountAngles } from "./detection_angles.js";
import { mountGates } from "./detection_gates.js";
import { mountQuality } from "./detection_quality.js";
import { mountRules } from "./detection_rules.js";
import { mountLoss, mountValidation } from "./detection_training.js";
import { onState, queueText } from "./live.js";
import { latestLines } from "./log.js";

const panel = (id) => document.getElementById(id);

/** Why there is no test score yet. */
function scoreText(state) {
  const { status, kind } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["Nothing was tested", kind.runs.some(({ epochs }) => epochs) ? "It ended before a trained detector was turned through the test angles." : "It ended before a detector was trained."];
  const stage = state.stages.find((each) => each.state === "running")?.name;
  if (stage === "prepare") return ["Reading the data set", "Every image is decoded once and every object checked; then the labels' quality is measured, and training begins."];
  return ["Training first", "Each detector is turned through the test angles as soon as it has finished its last epoch."];
}

function trainText(state) {
  if (["queued", "running"].includes(state.status)) return ["No epoch yet", "The first point comes with the end of the first epoch."];
  return ["Nothing was trained", "No run finished an epoch."];
}

// An experiment that only measures its labels has no training; the page of one shared chart has nothing else.
const rules = panel("rules") ? mountRules(panel("rules")) : null;
if (panel("angles")) onState(mountAngles(panel("angles"), scoreText, rules?.setView || (() => {})));
if (rules) onState(rules.show);
if (panel("loss")) onState(mountLoss(panel("loss"), trainText));
if (panel("validation")) onState(mountValidation(panel("validation"), trainText));
if (panel("gates")) onState(mountGates(panel("gates"), panel("gates").dataset.url));
if (panel("quality")) onState(mountQuality(panel("quality")));
if (bound("data")) onState(mountData(bound("data")));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
