// <canopy-cameras src="cameras.json" [label] [view] [selected]>: where the pictures of a set were taken, in 3D.
//
// Fires `cameraselect` with detail {index, camera}; docs/scene-viewer.md has the rest.

import { element } from "../dom.js";
import { boxEdges, frustum, groundGrid, isAt, pictureCorners } from "./lines.js";
import { button, press } from "./parts.js";
import { fromCamera, overview } from "./pose.js";
import { PosedStage } from "./posed_stage.js";
import { readPoints, readPosedSet, SIDE } from "./posed_set.js";
import { add, along, cross, dot, length, scale, subtract } from "./vectors.js";
import { Viewer } from "./viewer.js";
import { readView, writeView } from "./view_text.js";

const DEPTH = SIDE * 0.055; // of a frustum
const MOST_PICTURES = 160; // textures
const CLICK = 5; // pixels a hand may move in a click

class CanopyCameras extends Viewer {
  static observedAttributes = ["src", "selected", "label"];

  set = null;
  selected = -1;
  isRoofOpen = true;

  outfit() {
    this.name = element("span.scene-name", {}, "No camera");
    const look = button("Look through it", "eye", () => this.lookThrough(this.selected), { text: true });
    this.picker = element("div.viewer-bar.scene-steps.scene-picker", { role: "group", "aria-label": "Camera" }, button("Previous camera", "left", () => this.select(this.selected - 1)),
      this.name, look, button("Next camera", "right", () => this.select(this.selected + 1)));
    this.corner.remove();
    const roof = button("Open the roof in orbit", "layers", () => {
      this.isRoofOpen = !this.isRoofOpen;
      press(() => this.isRoofOpen, roof);
      this.invalidate();
    }, { pressed: true });
    this.tools.prepend(roof);
    this.hud.append(this.picker);
    this.shortcuts = { ",": () => this.select(this.selected - 1), ".": () => this.select(this.selected + 1), enter: () => this.lookThrough(this.selected) };
    let down = null;
    this.surface.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    this.surface.addEventListener("pointerup", (event) => {
      if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < CLICK) this.#pick(event);
    });
    const wanted = readView(this.getAttribute("view"));
    if (wanted) { this.pose.copy(wanted.pose); this.firstMode = wanted.mode; this.isPlaced = true; }
  }

  moreKeys = [[",  .", "previous, next camera"], ["Enter", "look through it"]];

  attributeChangedCallback(name, before, now) {
    if (before === now || !this.surface) return;
    if (name === "label") this.relabel();
    else if (name === "selected") this.select(Number(now), false);
    else {
      this.set = null;
      this.release();
      if (this.isSeen) this.restart();
    }
  }

  async load(signal) {
    if (this.set) return;
    this.progress(0, "Loading the cameras");
    const set = await readPosedSet(this.getAttribute("src"), signal);
    if (set.points) Object.assign(set, { cloud: await readPoints(set.points, set.place, signal) });
    this.set = set;
  }

  makeStage(canvas) { return new PosedStage(canvas); }

  stock() {
    const { cameras, cloud } = this.set;
    this.controls.extent = SIDE;
    if (!this.isPlaced) { this.pose.copy(this.home()); this.isPlaced = true; }
    if (cloud) this.stage.setPoints(cloud.positions, cloud.colours);
    for (const camera of cameras.slice(0, MOST_PICTURES)) if (camera.image) this.#fetchPicture(camera);
    const held = cameras.filter((camera) => camera.isHeldOut).length;
    this.facts.replaceChildren(element("span", {}, `${cameras.length} cameras`), ...(held ? [element("span", { class: "scene-held" }, `${held} held out`)] : []),
      ...(cloud ? [element("span.hide-phone", {}, `${Math.round(cloud.positions.length / 3000)}k points`)] : []));
    const asked = this.selected >= 0 ? this.selected : Number(this.getAttribute("selected") ?? 0);
    this.select(asked, false);
  }

  #fetchPicture(camera) {
    const { stage } = this;
    const image = new Image();
    image.onload = () => {
      if (this.stage !== stage) return;
      camera.picture = stage.addPicture(image, pictureCorners({ ...camera, aspect: camera.aspect ?? image.naturalWidth / image.naturalHeight }, DEPTH));
      camera.aspect ??= image.naturalWidth / image.naturalHeight;
      this.drawLines();
    };
    image.src = camera.image;
  }

  home() { return this.set ? overview(this.set.low, this.set.high, this.aspect) : this.pose.clone(); }

  draw() {
    const { cameras } = this.set;
    const here = cameras.flatMap((camera, i) => (isAt(camera, this.pose, DEPTH * 0.8) ? [i] : []));
    // Somebody who looks through a camera sees its picture, not the backs of those taken from the same place.
    for (const [i, { picture }] of cameras.entries()) if (picture) picture.visible = i === this.selected || !here.includes(i);
    if (this.linesFor !== String(here)) {
      this.linesFor = String(here);
      this.stage.lines.set(this.#lines(here));
    }
    const roof = Math.max(...cameras.map(({ origin }) => origin[2])) + this.set.high[2] * 0.06;
    const isOpen = this.isRoofOpen && this.mode === "orbit" && this.pose.eye[2] > roof;
    this.stage.draw({ pose: this.pose, ceiling: isOpen ? roof : undefined });
  }

  drawLines() {
    this.linesFor = null;
    this.invalidate();
  }

  #lines(here) {
    const { cameras, low, high } = this.set;
    const white = this.rgb("--viewer-text"), usual = [...this.rgb("--chart-1"), 0.85], held = [...this.rgb("--chart-4"), 0.9];
    const lines = [...groundGrid(low, high, SIDE / 16, [...white, 0.2]), ...boxEdges(low, high, [...white, 0.4])];
    for (const [i, camera] of cameras.entries()) {
      if (i === this.selected) lines.push(...frustum(camera, DEPTH * 1.02, [...this.rgb("--accent"), 1]));
      else if (!here.includes(i)) lines.push(...frustum(camera, DEPTH, camera.isHeldOut ? held : usual));
    }
    return lines;
  }

  select(index, isTold = true) {
    if (!this.set) { this.selected = index; return; }
    const { cameras } = this.set;
    this.selected = ((index % cameras.length) + cameras.length) % cameras.length || 0;
    const camera = cameras[this.selected];
    this.name.textContent = `${camera.label ?? `Camera ${this.selected + 1}`}${camera.isHeldOut ? ", held out" : ""}`;
    this.drawLines();
    if (!isTold) return;
    this.say(`${this.name.textContent}, ${this.selected + 1} of ${cameras.length}.`);
    this.dispatchEvent(new CustomEvent("cameraselect", { bubbles: true, detail: { index: this.selected, camera } }));
  }

  lookThrough(index) {
    const camera = this.set?.cameras[index];
    if (!camera) return;
    this.setMode("fly");
    this.glideTo(fromCamera(camera, { distance: SIDE * 0.2, aspect: Math.max(1, this.aspect) }));
    this.drawLines();
  }

  get view() { return writeView({ pose: this.pose, mode: this.mode }); }

  /** The picture under the pointer, or the camera whose eye is near it. */
  #pick({ clientX, clientY }) {
    const { left, top, width, height } = this.surface.getBoundingClientRect();
    const size = (2 * this.pose.tangent) / height, x = (clientX - left - width / 2) * size, y = (top + height / 2 - clientY) * size;
    const ray = add(this.pose.forward, add(scale(this.pose.right, x), scale(this.pose.up, y)));
    let best = { far: Infinity, index: -1 };
    for (const [index, camera] of this.set.cameras.entries()) {
      const far = hit(pictureCorners(camera, DEPTH), this.pose.eye, ray) ?? near(camera.origin, this.pose.eye, ray, size * 12);
      if (far !== null && far < best.far) best = { far, index };
    }
    if (best.index >= 0) this.select(best.index);
  }
}

/** How far along the ray it meets the quad, or null. */
function hit([a, b, , d], eye, ray) {
  const across = subtract(b, a), down = subtract(d, a), way = subtract(a, eye);
  const normal = cross(across, down);
  const far = dot(way, normal) / dot(ray, normal);
  if (!(far > 0)) return null;
  const at = subtract(along(eye, ray, far), a), u = dot(at, across) / dot(across, across), v = dot(at, down) / dot(down, down);
  return u >= 0 && u <= 1 && v >= 0 && v <= 1 ? far : null;
}

/** How far along the ray it passes a point closely (in shares of the distance), or null. */
function near(point, eye, ray, limit) {
  const way = subtract(point, eye), far = dot(way, ray) / dot(ray, ray);
  return far > 0 && length(subtract(along(eye, ray, far), point)) < limit * far ? far : null;
}

customElements.define("canopy-cameras", CanopyCameras);
