// The card "Camera path": keys, preview, and the file it is kept in.

import { element } from "../dom.js";
import { button, panel, saveFile, slider } from "./parts.js";
import { CameraPath } from "./path.js";

/** `viewer` gives pose, glideTo(), say(), invalidate(), path and defaultPath(). */
export class PathPanel {
  #startedAt = null;
  #share = 0;

  constructor(viewer) {
    this.viewer = viewer;
    this.list = element("ol.scene-keyframes", { "aria-label": "Keys" });
    this.play = button("Play", "play", () => (this.isPlaying ? this.stop() : this.start()), { text: true });
    this.scrub = slider("Preview", { step: 0.001, value: 0, say: (share) => `${(share * viewer.path.seconds).toFixed(1)} s` }, (share) => { this.stop(); this.#show(share); });
    this.seconds = element("input", { type: "number", min: 1, max: 600, step: 1, value: viewer.path.seconds });
    this.seconds.addEventListener("change", () => { viewer.path.seconds = Math.min(600, Math.max(1, Number(this.seconds.value) || 8)); this.update(); });
    this.file = element("input", { type: "file", accept: ".json,application/json", hidden: true });
    this.file.addEventListener("change", () => this.#load());
    this.problem = element("p.scene-problem", { role: "alert", hidden: true });
    this.card = panel("Camera path", () => viewer.toggle(this.card),
      element("div.scene-actions", {}, this.play, button("Add key here", "plus", () => this.addKey(), { text: true }),
        element("label.scene-number", {}, element("span", {}, "Seconds"), element("span.control.small", {}, this.seconds))),
      element("div.scene-rows", {}, this.scrub.row), this.list, this.problem,
      element("div.scene-actions", {}, button("Save", "download", () => this.#save(), { text: true }), button("Load", "file", () => this.file.click(), { text: true }),
        button("Default", "rotate", () => this.#replace(viewer.defaultPath()), { text: true })), this.file);
    this.update();
  }

  get isPlaying() { return this.#startedAt !== null; }

  addKey() {
    this.viewer.path.add(this.viewer.pose);
    this.viewer.say(`Key ${this.viewer.path.keys.length} added.`);
    this.#changed();
  }

  start() {
    if (this.viewer.path.keys.length < 2) { this.#complain("A path needs two keys: look where it should begin and add a key, then another."); return; }
    this.#complain("");
    this.#startedAt = performance.now() - (this.#share < 1 ? this.#share : 0) * this.viewer.path.seconds * 1000;
    this.viewer.setAttribute("playing", "");
    this.#mark();
    this.viewer.invalidate();
  }

  stop() {
    if (!this.isPlaying) return;
    this.#startedAt = null;
    this.viewer.removeAttribute("playing");
    this.#mark();
    this.viewer.invalidate();
  }

  /** One frame of the preview; true while it plays. */
  step(now) {
    if (!this.isPlaying) return false;
    const share = Math.min(1, Math.max(0, now - this.#startedAt) / (this.viewer.path.seconds * 1000));
    this.#show(share);
    this.scrub.set(share);
    if (share >= 1) this.stop();
    return true;
  }

  update() {
    const { path } = this.viewer;
    this.seconds.value = path.seconds;
    this.scrub.set(this.#share);
    this.list.replaceChildren(...path.keys.map((_, i) => element("li", {},
      button(`Key ${i + 1}`, null, () => { this.stop(); this.viewer.glideTo(path.at(i / Math.max(1, path.keys.length - 1), this.viewer.pose.distance)); }, { text: true }),
      button(`Set key ${i + 1} to the view`, "camera", () => { path.keys[i] = { origin: [...this.viewer.pose.eye], forward: this.viewer.pose.forward, fov: this.viewer.pose.fov }; this.#changed(); }),
      button(`Remove key ${i + 1}`, "x", () => { path.keys.splice(i, 1); this.#changed(); this.play.focus(); }))));
  }

  #show(share) {
    this.#share = share;
    const { viewer } = this;
    if (!viewer.path.keys.length) return;
    viewer.pose.copy(viewer.path.at(share, viewer.pose.distance));
    viewer.moved();
  }

  #mark() {
    const label = this.isPlaying ? "Stop" : "Play";
    const fresh = button(label, this.isPlaying ? "pause" : "play", () => (this.isPlaying ? this.stop() : this.start()), { text: true });
    const hadFocus = document.activeElement === this.play;
    this.play.replaceWith(fresh);
    this.play = fresh;
    if (hadFocus) fresh.focus({ preventScroll: true });
  }

  #changed() {
    this.#complain("");
    this.update();
    this.viewer.drawLines();
    this.viewer.dispatchEvent(new CustomEvent("pathchange", { bubbles: true, detail: { path: JSON.parse(this.viewer.path.text()) } }));
  }

  #replace(path) {
    this.stop();
    this.viewer.path = path;
    this.#share = 0;
    this.#changed();
  }

  #save() { saveFile(new Blob([this.viewer.path.text()], { type: "application/json" }), "camera-path.json"); }

  async #load() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    try { this.#replace(CameraPath.read(await file.text())); } catch (error) { this.#complain(error.message); }
  }

  #complain(sentence) {
    this.problem.textContent = sentence;
    this.problem.hidden = !sentence;
  }
}
