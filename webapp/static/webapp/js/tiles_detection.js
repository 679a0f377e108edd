// The tiles of a detection experiment: see webapp/experiments/kind_tiles.py.

import { mountAngles } from "./detection_angles.js";
import { mountGates } from "./detection_gates.js";
import { mountKpis } from "./detection_kpis.js";
import { mountQuality } from "./detection_quality.js";
import { mountRules } from "./detection_rules.js";
import { mountLoss, mountValidation } from "./detection_training.js";
import { scoreText, trainText } from "./detection_waiting.js";
import { kpiTile } from "./tile_parts.js";

const kpis = kpiTile(mountKpis);

export const tiles = {
  kpis, "kpi-upright": kpis, "kpi-turned": kpis, "kpi-lost": kpis, "kpi-loss": kpis, "kpi-speed": kpis, "kpi-runs": kpis,
  angles: (panel, live) => live.onState(mountAngles(panel, scoreText)),
  rules: (panel, live) => live.onState(mountRules(panel).show),
  loss: (panel, live) => live.onState(mountLoss(panel, trainText)),
  validation: (panel, live) => live.onState(mountValidation(panel, trainText)),
  quality: (panel, live) => live.onState(mountQuality(panel)),
  gates: (panel, live) => live.onState(mountGates(panel, () => live.data("gates"))),
};
