// The Overview tab of a detection experiment.

import { bound, fetchJson } from "./dom.js";
import { mountData } from "./detection_data.js";
import { mountAngles } from "./detection_angles.js";
import { mountGates } from "./detection_gates.js";
import { mountQuality } from "./detection_quality.js";
import { mountRules } from "./detection_rules.js";
import { mountLoss, mountValidation } from "./detection_training.js";
import { scoreText, trainText } from "./detection_waiting.js";
import { onState } from "./live.js";
import { latestLines } from "./log.js";

const panel = (id) => document.getElementById(id);

// An experiment that only measures its labels has no training; the page of one shared chart has nothing else.
const rules = panel("rules") ? mountRules(panel("rules")) : null;
if (panel("angles")) onState(mountAngles(panel("angles"), scoreText, rules?.setView || (() => {})));
if (rules) onState(rules.show);
if (panel("loss")) onState(mountLoss(panel("loss"), trainText));
if (panel("validation")) onState(mountValidation(panel("validation"), trainText));
if (panel("gates")) onState(mountGates(panel("gates"), () => fetchJson(panel("gates").dataset.url)));
if (panel("quality")) onState(mountQuality(panel("quality")));
if (bound("data")) onState(mountData(bound("data")));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
