// A box over the whole height of the scene, marked in x and y: four handles and a middle, dragged or moved with the arrow keys.

import { element } from "../dom.js";
import { percent } from "./parts.js";
import { add, along, clamp, dot, scale, subtract } from "./vectors.js";

const LEAST = 1 / 16; // of a side
const KEY_STEP = 1 / 64;
const HANDLES = [["x0", "y0"], ["x1", "y0"], ["x1", "y1"], ["x0", "y1"], null];
const NAMES = ["Corner 1", "Corner 2", "Corner 3", "Corner 4", "Whole box"];

export class BoxEditor {
  box = { x0: 0.3, y0: 0.3, x1: 0.7, y1: 0.7 };

  constructor(viewer) {
    this.viewer = viewer;
    this.handles = HANDLES.map((sides, i) => this.#handle(sides, NAMES[i]));
    this.layer = element("div.scene-box", { role: "group", "aria-label": "Box to draw anew", hidden: true }, ...this.handles);
  }

  get isOn() { return this.viewer.hasAttribute("box-editing"); }

  show() {
    this.layer.hidden = !this.isOn || !this.viewer.stage;
    this.#label();
    this.viewer.drawLines();
  }

  set(box, isTold = true) {
    Object.assign(this.box, box);
    this.#label();
    this.viewer.drawLines();
    if (isTold) this.viewer.dispatchEvent(new CustomEvent("boxchange", { bubbles: true, detail: { ...this.box } }));
  }

  /** Low and high corner, in voxels. */
  corners() {
    const [depth, height, width] = this.viewer.manifest.grid;
    const { x0, y0, x1, y1 } = this.box;
    return [[x0 * width, y0 * height, 0], [x1 * width, y1 * height, depth]];
  }

  /** Put the handles where their corners are on the screen. */
  place() {
    if (this.layer.hidden) return;
    const [low, high] = this.corners();
    const middle = scale(add(low, high), 0.5);
    const spots = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]], [middle[0], middle[1]]];
    for (const [i, [x, y]] of spots.entries()) {
      const place = this.#project([x, y, 0]);
      this.handles[i].classList.toggle("away", !place);
      if (place) this.handles[i].style.translate = `${place[0].toFixed(1)}px ${place[1].toFixed(1)}px`;
    }
  }

  #handle(sides, name) {
    const handle = element(`button.scene-handle${sides ? "" : ".middle"}`, { type: "button", "data-name": name });
    let grip = null;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      grip = { at: this.#ground(event), box: { ...this.box } };
    });
    handle.addEventListener("pointermove", (event) => {
      if (!grip?.at || !handle.hasPointerCapture(event.pointerId)) return;
      const at = this.#ground(event);
      if (at) this.#shift(sides, at[0] - grip.at[0], at[1] - grip.at[1], grip.box);
    });
    handle.addEventListener("lostpointercapture", () => { grip = null; });
    handle.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const step = KEY_STEP * (event.shiftKey ? 4 : 1);
      this.#shift(sides, move[0] * step, move[1] * step, { ...this.box });
    });
    return handle;
  }

  #shift(sides, dx, dy, from) {
    if (sides) {
      const [x, y] = sides;
      this.set({ [x]: limited(x, from[x] + dx, from), [y]: limited(y, from[y] + dy, from) });
    } else {
      const across = clamp(dx, -from.x0, 1 - from.x1), along_ = clamp(dy, -from.y0, 1 - from.y1);
      this.set({ x0: from.x0 + across, x1: from.x1 + across, y0: from.y0 + along_, y1: from.y1 + along_ });
    }
  }

  #label() {
    const { x0, y0, x1, y1 } = this.box;
    const spots = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
    for (const [i, handle] of this.handles.entries()) {
      const where = spots[i] ? `x ${percent(spots[i][0])}, y ${percent(spots[i][1])}` : `x ${percent(x0)} to ${percent(x1)}, y ${percent(y0)} to ${percent(y1)}`;
      handle.setAttribute("aria-label", `${NAMES[i]}: ${where}. Arrow keys move it.`);
    }
  }

  /** Pixels of the viewer of a point, or null behind the eye. */
  #project(point) {
    const { pose, surface } = this.viewer;
    const way = subtract(point, pose.eye), ahead = dot(way, pose.forward);
    if (ahead < 0.1) return null;
    const { clientWidth: width, clientHeight: height } = surface;
    const half = (ahead * pose.tangent * 2) / height;
    return [width / 2 + dot(way, pose.right) / half, height / 2 - dot(way, pose.up) / half];
  }

  /** Where a pointer meets the floor, as shares of the grid, or null above the horizon. */
  #ground({ clientX, clientY }) {
    const { pose, surface, manifest } = this.viewer;
    const { left, top, width, height } = surface.getBoundingClientRect();
    const x = ((clientX - left - width / 2) * 2 * pose.tangent) / height, y = ((top + height / 2 - clientY) * 2 * pose.tangent) / height;
    const ray = add(pose.forward, add(scale(pose.right, x), scale(pose.up, y)));
    if (ray[2] * pose.eye[2] >= 0) return null;
    const hit = along(pose.eye, ray, -pose.eye[2] / ray[2]);
    return [hit[0] / manifest.grid[2], hit[1] / manifest.grid[1]];
  }
}

function limited(side, value, { x0, y0, x1, y1 }) {
  const [low, high] = { x0: [0, x1 - LEAST], x1: [x0 + LEAST, 1], y0: [0, y1 - LEAST], y1: [y0 + LEAST, 1] }[side];
  return clamp(value, low, high);
}
