// The divider between two scenes: dragged, or moved with the arrow keys.

import { element } from "../dom.js";
import { percent } from "./parts.js";
import { clamp } from "./vectors.js";

export class Split {
  share = 0.5;

  constructor(viewer) {
    this.viewer = viewer;
    this.handle = element("div.scene-divider", { role: "slider", tabindex: 0, "aria-label": "Divider between the two scenes", "aria-orientation": "horizontal", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.names = [element("span.scene-side.left", {}), element("span.scene-side.right", {})];
    this.layer = element("div.scene-split", { hidden: true }, ...this.names, this.handle);
    this.handle.addEventListener("pointerdown", (event) => { this.handle.setPointerCapture(event.pointerId); this.handle.focus({ preventScroll: true }); });
    this.handle.addEventListener("pointermove", (event) => {
      if (!this.handle.hasPointerCapture(event.pointerId)) return;
      const { left, width } = this.layer.getBoundingClientRect();
      this.set((event.clientX - left) / width);
    });
    this.handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.set(this.share + step);
    });
    this.set(0.5);
  }

  show(left, right) {
    this.layer.hidden = false;
    this.names[0].textContent = left;
    this.names[1].textContent = right;
  }

  hide() { this.layer.hidden = true; }

  set(share) {
    this.share = clamp(share, 0, 1);
    this.layer.style.setProperty("--split", this.share);
    this.handle.setAttribute("aria-valuenow", Math.round(this.share * 100));
    this.handle.setAttribute("aria-valuetext", `${percent(this.share)} of the left scene`);
    this.viewer.invalidate();
  }
}
