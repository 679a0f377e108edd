// The strip below a scene that is or was denoised: one stop for each preview, the last for the scene itself.

import { element } from "../dom.js";
import { button, isStill } from "./parts.js";

const EACH = 450; // ms a step while playing

/** `onStep(index)`: an index of the steps, or their number for the scene. Resolves once it is on show. */
export class StepStrip {
  #timer = 0;

  constructor(onStep) {
    this.onStep = onStep;
    this.labels = [];
    this.play = button("Play the denoising", "play", () => (this.#timer ? this.stop() : this.start()));
    this.input = element("input.range", { type: "range", min: 0, step: 1, "aria-label": "Denoising step" });
    this.output = element("output", {});
    this.bar = element("div.viewer-bar.scene-steps", { role: "group", "aria-label": "Denoising", hidden: true }, this.play, this.input, this.output);
    this.input.addEventListener("input", () => { this.stop(); this.#go(Number(this.input.value)); });
  }

  get index() { return Number(this.input.value); }
  get isLast() { return this.index >= this.labels.length - 1; }

  /** `labels` in order; stays at the end when it was there, and goes there for another scene. */
  update(labels, isOther = false) {
    const wasLast = isOther || !this.labels.length || this.isLast;
    const { index } = this;
    this.labels = labels;
    this.input.max = labels.length - 1;
    this.bar.hidden = labels.length < 2;
    this.#show(wasLast ? labels.length - 1 : Math.min(index, labels.length - 1));
  }

  start() {
    if (this.isLast) this.#show(0);
    this.play.setAttribute("aria-pressed", "true");
    const next = async () => {
      await this.onStep(this.index);
      if (!this.#timer || this.isLast) { this.stop(); return; }
      this.#timer = setTimeout(() => { this.#show(this.index + 1); next(); }, isStill() ? 2 * EACH : EACH);
    };
    this.#timer = 1;
    next();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.play.setAttribute("aria-pressed", "false");
  }

  #go(index) {
    this.#show(index);
    this.onStep(index);
  }

  #show(index) {
    this.input.value = index;
    const label = this.labels[index] ?? "";
    this.output.textContent = label;
    this.input.setAttribute("aria-valuetext", label);
  }
}
