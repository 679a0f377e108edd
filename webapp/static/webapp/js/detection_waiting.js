// Why the figures of a detection experiment have nothing to show yet: a title and a sentence.

import { queueText } from "./waiting.js";

/** Why there is no test score yet. */
export function scoreText(state) {
  const { status, kind } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["Nothing was tested", kind.runs.some(({ epochs }) => epochs) ? "It ended before a trained detector was turned through the test angles." : "It ended before a detector was trained."];
  const stage = state.stages.find((each) => each.state === "running")?.name;
  if (stage === "prepare") return ["Reading the data set", "Every image is decoded once and every object checked; then the labels' quality is measured, and training begins."];
  return ["Training first", "Each detector is turned through the test angles as soon as it has finished its last epoch."];
}

export function trainText(state) {
  if (["queued", "running"].includes(state.status)) return ["No epoch yet", "The first point comes with the end of the first epoch."];
  return ["Nothing was trained", "No run finished an epoch."];
}
