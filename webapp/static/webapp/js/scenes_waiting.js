// Why the panels of a scene experiment have nothing to show yet: a title and a sentence.

import { STAGES } from "./scenes_state.js";
import { queueText } from "./waiting.js";

/** Why there is no loss yet. */
export function trainText(state, stage) {
  const { status, kind } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["Nothing was trained", "The experiment ended before the first step."];
  if (!kind.data) return ["Reading the data", "Every picture and camera is checked, and packed for training."];
  return stage ? ["No step yet", `The ${STAGES[stage].toLowerCase()} is trained after the stages before it.`] : ["No step yet", "The first point comes within seconds."];
}

/** Why there is no scene yet. */
export function sceneText(state) {
  const { status, kind, stages } = state;
  if (status === "queued") return queueText(state);
  if (status !== "running") return ["No scene was drawn", "The experiment ended before its model was trained."];
  const now = stages.find((stage) => stage.state === "running")?.name;
  if (now === "sample") return ["The first scene is being drawn", "It shows up here as it forms: first the coarse shape, then the detail."];
  const left = Object.keys(STAGES).filter((name) => !kind.runs.find((run) => run.stage === name)?.stopped).map((name) => STAGES[name].toLowerCase());
  return ["Training first", left.length ? `Scenes are drawn when these are trained: ${left.join(", ")}.` : "Scenes are drawn next."];
}
