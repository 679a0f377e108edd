// The tiles with the key figures of a scene experiment.

import { element, setText, svg } from "./dom.js";
import { count, duration } from "./format.js";
import { currentStage, leading, lossLines, mean, running, score, scoreOf, STAGES } from "./scenes_state.js";

/** `kpis` holds the tiles; returns draw(state). */
export function mountKpis(kpis) {
  const tile = (name) => kpis.querySelector(`[data-kpi="${name}"]`);

  function fill(name, value, unit, note, label = "") {
    const box = tile(name);
    const target = box.querySelector(".kpi-value");
    const text = `${value}|${unit}`;
    if (target.dataset.text !== text) {
      target.dataset.text = text;
      target.replaceChildren(value, ...(unit ? [element("small", {}, unit)] : []));
    }
    const line = box.querySelector(".kpi-note");
    setText(line, note || "\u00a0");
    line.title = note || "";
    if (label) setText(box.querySelector(".kpi-label"), label);
  }

  function spark(name, values) {
    const drawing = tile(name).querySelector(".spark");
    const logs = values.filter((value) => value > 0).map(Math.log);
    if (logs.length < 3) { drawing.replaceChildren(); return; }
    const low = Math.min(...logs);
    const range = Math.max(...logs) - low || 1;
    const path = logs.map((value, i) => `${((64 * i) / (logs.length - 1)).toFixed(1)} ${(22 - (20 * (value - low)) / range).toFixed(1)}`).join("L");
    drawing.replaceChildren(svg("path", { class: "area", d: `M${path}L64 24L0 24Z` }), svg("path", { class: "line", d: `M${path}` }));
  }

  function drawQuality({ scores, views }) {
    const lead = leading(scores);
    if (lead) {
      const { real, autoencoder } = lead.cells;
      const note = real ? `real pictures ${score(real.value)}` : autoencoder ? `auto-encoder ${score(autoencoder.value)}` : "of the scenes' pictures";
      fill("quality", score(lead.cells.samples.value), lead.unit, note, lead.title);
    }
    const told = scoreOf(scores, "autoencoder", "psnr") ?? mean(views.map(({ psnr }) => psnr));
    const depth = scoreOf(scores, "autoencoder", "depth") ?? mean(views.map(({ depth_error: error }) => error));
    if (told !== null) fill("rebuilt", told.toFixed(1), "dB", depth === null ? "PSNR of the auto-encoder" : `depth off by ${score(depth)} of it`);
    const agreement = scoreOf(scores, "samples", "agreement");
    if (agreement !== null) fill("agreement", (100 * agreement).toFixed(1), "%", "of depths from view to view");
  }

  function drawScenes({ counts, scenes }, { status, stages }) {
    const waiting = counts.scenes - counts.drawn;
    const sampled = stages.find(({ name }) => name === "sample");
    const seconds = mean(scenes.map(({ values }) => values.seconds));
    const planned = Math.max(counts.scenes, sampled?.total || 0);
    if (planned) fill("scenes", count(counts.drawn), planned > counts.drawn ? `of ${count(planned)}` : "", seconds !== null ? `drawn in ${score(seconds)} s each` : waiting && status === "running" ? "after the training" : "");
  }

  function drawTraining({ runs, losses }, { status }) {
    const stage = currentStage({ runs, losses });
    const run = runs.find((each) => each.stage === stage);
    if (!run) return;
    const isNow = status === "running" && !run.stopped;
    const [line] = lossLines(losses, stage);
    const means = line ? running(line.values) : [];
    const now = means.at(-1) ?? (isNow ? run.progress.loss : undefined);
    if (Number.isFinite(now)) fill("loss", now.toPrecision(3), "", STAGES[stage]);
    spark("loss", means);
    const { steps_per_second: rate, memory } = run.progress;
    const left = isNow && rate ? `${duration((run.steps - run.progress.step) / rate)} left of this stage` : memory ? `${(memory / 2 ** 30).toFixed(1)} GiB of the GPU` : "of the last stage";
    if (rate) fill("speed", rate < 10 ? rate.toFixed(1) : count(rate), "steps/s", left);
  }

  return (state) => { drawQuality(state.kind); drawScenes(state.kind, state); drawTraining(state.kind, state); };
}
