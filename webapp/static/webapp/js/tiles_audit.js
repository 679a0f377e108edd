// The tiles of an audit: see webapp/experiments/kind_tiles.py.

import { mountAudit } from "./audit.js";
import { mountKpis } from "./audit_kpis.js";
import { kpiTile } from "./tile_parts.js";

const kpis = kpiTile(mountKpis);

export const tiles = {
  kpis, "kpi-mistaken": kpis, "kpi-flaky": kpis, "kpi-negative": kpis, "kpi-positive": kpis, "kpi-undecided": kpis, "kpi-audited": kpis,
  audit: (panel, live) => live.onState(mountAudit(panel)),
};
