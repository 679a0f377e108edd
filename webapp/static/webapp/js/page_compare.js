// The compare page: figures over all chosen experiments. What is shown is kept in the address.

import { mountCompareCoverage } from "./compare_coverage.js";
import { mountDifference } from "./compare_difference.js";
import { mountPicker, refuseNothing } from "./compare_picker.js";
import { mountCompareSelection } from "./compare_selection.js";

const REFRESH_MS = 8000;
const root = document.getElementById("compare");
const data = document.getElementById("series");
const coverage = document.getElementById("coverage"); // of sampling; another kind's template brings its own script

if (data && coverage) {
  const state = { series: JSON.parse(data.textContent) };
  const views = [mountCompareCoverage(coverage, state)];
  if (document.querySelector("#difference [data-plot]")) views.push(mountDifference(document.getElementById("difference"), state));

  const selection = document.getElementById("selection");
  if (selection) views.push(mountCompareSelection(selection, state));

  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "X-Part": "series" } });
    if (!answer.ok || answer.redirected) return;
    state.series = await answer.json();
    for (const redraw of views) redraw();
    if (!state.series.runs.some((run) => ["queued", "running"].includes(run.status))) clearInterval(timer);
  };
  const timer = root.hasAttribute("data-running") ? setInterval(() => refresh().catch(() => { /* offline: the next try may do */ }), REFRESH_MS) : 0;
}

mountPicker(root);
refuseNothing();

// Links and forms made by the server know the address as it was; what was chosen since goes along.
const KEYS = root.dataset.keys.split(" ");
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-keep]");
  if (!link) return;
  const target = new URL(link.href);
  const now = new URLSearchParams(location.search);
  for (const key of KEYS) {
    if (now.has(key)) target.searchParams.set(key, now.get(key));
    else target.searchParams.delete(key);
  }
  link.href = target;
});
document.addEventListener("formdata", (event) => {
  if (!event.target.closest("#main, #add")) return;
  const now = new URLSearchParams(location.search);
  for (const key of KEYS) if (now.has(key)) event.formData.set(key, now.get(key));
});

root.querySelector("[data-copy-address]")?.addEventListener("click", async (event) => {
  const label = event.currentTarget.querySelector("span");
  await navigator.clipboard.writeText(location.href);
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = "Copy link"; }, 2000);
});
