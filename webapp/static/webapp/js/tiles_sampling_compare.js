// The tiles of a comparison of sampling experiments.

import { mountCompareCoverage } from "./compare_coverage.js";

export const tiles = {
  coverage: (panel, live) => live.onSeries(mountCompareCoverage(panel, live)),
  "side-by-side": () => {}, // a table that the server makes
};
