// The tiles of a scene experiment: see webapp/experiments/kind_tiles.py.

import { mountKpis } from "./scenes_kpis.js";
import { mountLosses } from "./scenes_losses.js";
import { mountScores } from "./scenes_scores.js";
import { mountViews } from "./scenes_views.js";
import { trainText } from "./scenes_waiting.js";
import { kpiTile } from "./tile_parts.js";
import { mountSceneTile } from "./tile_scene.js";

const VIEWS = 12;
const kpis = kpiTile(mountKpis);

export const tiles = {
  kpis, "kpi-quality": kpis, "kpi-scenes": kpis, "kpi-rebuilt": kpis, "kpi-agreement": kpis, "kpi-loss": kpis, "kpi-speed": kpis,
  scene: mountSceneTile,
  loss: (panel, live) => live.onState(mountLosses(panel, trainText)),
  scores: (panel, live) => live.onState(mountScores(panel)),
  views: (panel, live) => live.onState(mountViews(panel, VIEWS)),
};
