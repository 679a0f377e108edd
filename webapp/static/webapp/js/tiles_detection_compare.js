// The tiles of a comparison of detection experiments.

import { mountCompareAngles } from "./compare_angles.js";

export const tiles = {
  angles: (panel, live) => live.onSeries(mountCompareAngles(panel, live)),
  "side-by-side": () => {}, // a table that the server makes
};
