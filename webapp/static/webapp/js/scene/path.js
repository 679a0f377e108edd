// A camera's way through the scene: keys, a smooth curve through them, and the file it is kept in.

import { SceneError } from "./manifest.js";
import { FOV, Pose } from "./pose.js";
import { along, clamp, length, subtract, unit } from "./vectors.js";

const MOST_KEYS = 200;

/** Catmull-Rom with centripetal knots (Yuksel et al. 2011): no loops or cusps between keys that stand close together. */
export function catmullRom(points, share) {
  if (points.length === 1) return points[0];
  const place = clamp(share, 0, 1) * (points.length - 1);
  const i = Math.min(points.length - 2, Math.floor(place));
  const p1 = points[i], p2 = points[i + 1];
  const p0 = points[i - 1] ?? along(p1, subtract(p2, p1), -1), p3 = points[i + 2] ?? along(p2, subtract(p2, p1), 1);
  const knot = (a, b) => Math.max(1e-4, Math.sqrt(length(subtract(b, a))));
  const t1 = knot(p0, p1), t2 = t1 + knot(p1, p2), t3 = t2 + knot(p2, p3), t = t1 + (place - i) * (t2 - t1);
  const blend = (a, b, ta, tb) => a.map((value, axis) => ((tb - t) * value + (t - ta) * b[axis]) / (tb - ta));
  const a1 = blend(p0, p1, 0, t1), a2 = blend(p1, p2, t1, t2), a3 = blend(p2, p3, t2, t3);
  return blend(blend(a1, a2, 0, t2), blend(a2, a3, t1, t3), t1, t2);
}

export class CameraPath {
  constructor({ seconds = 8, keys = [] } = {}) {
    this.seconds = seconds;
    this.keys = keys.map(({ origin, forward, fov }) => ({ origin: [...origin], forward: unit(forward), fov: fov || FOV.usual }));
  }

  add(pose) { this.keys.push({ origin: [...pose.eye], forward: pose.forward, fov: pose.fov }); }

  /** The pose at a share of the way; `distance` is what orbit then circles at. */
  at(share, distance = 16) {
    const origin = catmullRom(this.keys.map((key) => key.origin), share);
    const forward = unit(catmullRom(this.keys.map((key) => key.forward), share));
    const [fov] = catmullRom(this.keys.map((key) => [key.fov, 0, 0]), share);
    return Pose.looking(origin, along(origin, forward, distance), fov);
  }

  /** Points on the curve, for drawing it. */
  points(each = 12) {
    if (this.keys.length < 2) return this.keys.map((key) => key.origin);
    const count = Math.min(600, (this.keys.length - 1) * each);
    const origins = this.keys.map((key) => key.origin);
    return Array.from({ length: count + 1 }, (_, i) => catmullRom(origins, i / count));
  }

  text() {
    const round = (vector) => vector.map((value) => Number(value.toFixed(4)));
    const keys = this.keys.map(({ origin, forward, fov }) => ({ origin: round(origin), forward: round(forward), fov: Number(fov.toFixed(1)) }));
    return `${JSON.stringify({ version: 1, seconds: this.seconds, keys }, null, 1)}\n`;
  }

  static read(text) {
    let raw;
    try { raw = JSON.parse(text); } catch { throw new SceneError("This file is not a camera path: it is not JSON."); }
    const isVector = (value) => Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);
    const keys = Array.isArray(raw?.keys) ? raw.keys : [];
    if (!keys.length || keys.length > MOST_KEYS) throw new SceneError(`A camera path has 1 to ${MOST_KEYS} keys.`);
    if (!keys.every((key) => isVector(key?.origin) && isVector(key.forward) && length(key.forward) > 0)) throw new SceneError("Each key of a camera path needs an origin and a forward of three numbers.");
    return new CameraPath({
      seconds: clamp(Number(raw.seconds) || 8, 1, 600),
      keys: keys.map(({ origin, forward, fov }) => ({ origin, forward, fov: fov ? clamp(Number(fov) || FOV.usual, FOV.least, FOV.most) : FOV.usual })),
    });
  }
}
