// The tiles of a sampling experiment: see webapp/experiments/kind_tiles.py.

import { mountForecast } from "./analysis_forecast.js";
import { mountSelection } from "./analysis_selection.js";
import { mountCoverage } from "./coverage.js";
import { mountEngine } from "./engine.js";
import { mountKpis } from "./kpis.js";
import { mountProblems } from "./problems.js";
import { computed, kpiTile } from "./tile_parts.js";
import { mountVerdicts } from "./verdicts.js";

const kpis = kpiTile(mountKpis);

export const tiles = {
  kpis, "kpi-coverage": kpis, "kpi-pass1": kpis, "kpi-solved": kpis, "kpi-throughput": kpis, "kpi-drawn": kpis, "kpi-length": kpis,
  coverage: (panel, live) => live.onState(mountCoverage(panel, () => live.data("forecast"))),
  problems: (panel, live) => live.onState(mountProblems(panel, panel.dataset.samples)),
  verdicts: (panel, live) => live.onState(mountVerdicts(panel, panel.dataset.samples)),
  engine: (panel, live) => live.onState(mountEngine(panel)),
  forecast: (panel, live) => computed(live, "forecast", [mountForecast(panel, live.colour)]),
  selection: (panel, live) => computed(live, "selection", [mountSelection(panel, live.colour)]),
  cost: () => {}, // a table that the server makes
};
