// Mouse, touch and keyboard to a pose. In orbit the scene turns under the hand; in fly the viewer moves through it.

import { clamp } from "./vectors.js";

const TURN = 0.0055; // radians a pixel
const KEY_TURN = 1.5; // radians a second
const WHEEL = 0.0014;
const MOVES = { KeyW: [0, 0, 1], KeyS: [0, 0, -1], KeyA: [-1, 0, 0], KeyD: [1, 0, 0], KeyE: [0, 1, 0], KeyQ: [0, -1, 0] };
const TURNS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const ZOOMS = { Equal: 1, NumpadAdd: 1, Minus: -1, NumpadSubtract: -1 };

export class Controls {
  /** `onMove()` is called after the pose changed, `onIdleWheel()` when the page scrolls instead; `extent` is the longest side. */
  constructor(canvas, pose, { onMove, onIdleWheel }) {
    Object.assign(this, { canvas, pose, onMove, onIdleWheel, mode: "orbit", extent: 128 });
    this.held = new Set();
    this.pointers = new Map();
    this.stop = new AbortController();
    const on = (name, heard, options = {}) => canvas.addEventListener(name, heard, { signal: this.stop.signal, ...options });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, (event) => this.pointers.delete(event.pointerId));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("keydown", (event) => this.#key(event));
    on("keyup", (event) => this.held.delete(event.code));
    on("blur", () => this.held.clear());
  }

  get limits() { return [this.extent * 0.006, this.extent * 6]; }
  get isHeld() { return this.held.size > 0; }

  #down(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.button = event.button;
  }

  #drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const shared = this.pointers.size === 2 ? [...this.pointers.entries()].find(([id]) => id !== event.pointerId)[1] : null;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (shared) this.#pinch(before, [event.clientX, event.clientY], shared);
    else if (this.button > 0 || event.shiftKey) this.#pan(-dx, dy);
    else if (this.mode === "orbit") this.pose.orbit(-dx * TURN, dy * TURN);
    else this.pose.look(-dx * TURN, dy * TURN);
    this.onMove();
  }

  #pinch(before, now, other) {
    const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    const ratio = spread(before) / spread(now);
    if (this.mode === "orbit") this.pose.zoom(ratio, this.limits);
    else this.pose.move(0, 0, (1 / ratio - 1) * this.extent * 0.25);
    this.#pan((before[0] - now[0]) / 2, (now[1] - before[1]) / 2);
  }

  #pan(right, up) {
    const size = (2 * this.pose.tangent * (this.mode === "orbit" ? this.pose.distance : this.extent * 0.25)) / this.canvas.clientHeight;
    this.pose.move(right * size, up * size, 0);
  }

  #wheel(event) {
    // Only once the scene has the focus: else somebody who scrolls the page would get stuck in it.
    if (document.activeElement !== this.canvas && !event.ctrlKey && !event.metaKey) { this.onIdleWheel(); return; }
    event.preventDefault();
    const amount = clamp(event.deltaY * (event.deltaMode ? 30 : 1), -240, 240);
    if (this.mode === "orbit") this.pose.zoom(Math.exp(amount * WHEEL), this.limits);
    else this.pose.move(0, 0, -amount * WHEEL * this.extent * 0.2);
    this.onMove();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.code in MOVES || event.code in TURNS || event.code in ZOOMS)) return;
    event.preventDefault();
    this.isFast = event.shiftKey;
    if (!this.held.has(event.code)) {
      this.held.add(event.code);
      this.step(0.06, event.shiftKey); // a short press is heard too
      this.onMove();
    }
  }

  /** Move by what is held; true when something is. */
  step(seconds, isFast = this.isFast) {
    if (!this.held.size) return false;
    const pace = this.extent * 0.14 * (isFast ? 3 : 1) * seconds;
    for (const code of this.held) {
      if (code in MOVES) {
        const [right, up, ahead] = MOVES[code];
        this.pose.move(right * pace, 0, ahead * pace);
        this.pose.eye[2] += up * pace;
      } else if (code in TURNS) {
        const [right, up] = TURNS[code].map((part) => part * KEY_TURN * seconds * (isFast ? 2 : 1));
        if (this.mode === "orbit") this.pose.orbit(right, up);
        else this.pose.look(right, up);
      } else if (this.mode === "orbit") this.pose.zoom(Math.exp(-ZOOMS[code] * 1.4 * seconds), this.limits);
      else this.pose.move(0, 0, ZOOMS[code] * pace);
    }
    return true;
  }

  dispose() { this.stop.abort(); }
}
