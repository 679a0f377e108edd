// The compare page of detection experiments.

import { mountCompareAngles } from "./compare_angles.js";

const REFRESH_MS = 8000;
const state = { series: JSON.parse(document.getElementById("series").textContent) };
const redraw = mountCompareAngles(document.getElementById("angles"), state);

if (document.getElementById("compare").hasAttribute("data-running")) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Part": "series" } });
      if (!answer.ok || answer.redirected) return;
      state.series = await answer.json();
      redraw();
      if (!state.series.runs.some((run) => ["queued", "running"].includes(run.status))) clearInterval(timer);
    } catch { /* offline: the next try may do */ }
  }, REFRESH_MS);
}
