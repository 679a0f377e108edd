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

if (panel("angles")) { // not where an experiment only measures its labels
  const rules = mountRules(panel("rules"));
  onState(mountAngles(panel("angles"), scoreText, rules.setView));
  onState(rules.show);
  onState(mountLoss(panel("loss"), trainText));
  onState(mountValidation(panel("validation"), trainText));
  onState(mountGates(panel("gates"), () => fetchJson(panel("gates").dataset.url)));
}
onState(mountQuality(panel("quality")));
onState(mountData(bound("data")));
if (bound("latest")) onState((state) => latestLines(bound("latest"), state.log));
