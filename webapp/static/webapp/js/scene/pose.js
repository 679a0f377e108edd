// Where the viewer stands and looks: z up, no roll. Lengths in voxels, angles in radians, the field of view in degrees.

import { add, along, clamp, dot, length, mix, scale, subtract, unit } from "./vectors.js";

const STEEPEST = 1.55; // just under a right angle: straight up, "right" means nothing
export const FOV = { least: 20, most: 110, usual: 50 }; // degrees, of the picture's height

export class Pose {
  constructor({ eye = [0, 0, 0], yaw = 0, pitch = 0, distance = 1, fov = FOV.usual } = {}) {
    Object.assign(this, { eye, yaw, pitch, distance, fov });
  }

  static looking(eye, target, fov = FOV.usual) {
    const pose = new Pose({ eye, fov, distance: length(subtract(target, eye)) });
    pose.turnTo(subtract(target, eye));
    return pose;
  }

  get forward() {
    const flat = Math.cos(this.pitch);
    return [flat * Math.cos(this.yaw), flat * Math.sin(this.yaw), Math.sin(this.pitch)];
  }

  get right() { return [Math.sin(this.yaw), -Math.cos(this.yaw), 0]; }

  get up() {
    const sine = Math.sin(this.pitch);
    return [-sine * Math.cos(this.yaw), -sine * Math.sin(this.yaw), Math.cos(this.pitch)];
  }

  /** What the camera circles in orbit. */
  get target() { return along(this.eye, this.forward, this.distance); }

  /** Half the picture's height at distance 1. */
  get tangent() { return Math.tan((this.fov * Math.PI) / 360); }

  turnTo(direction) {
    const [x, y, z] = unit(direction);
    this.pitch = clamp(Math.asin(clamp(z, -1, 1)), -STEEPEST, STEEPEST);
    if (Math.hypot(x, y) > 1e-6) this.yaw = Math.atan2(y, x);
  }

  look(right, up) {
    this.yaw -= right;
    this.pitch = clamp(this.pitch + up, -STEEPEST, STEEPEST);
  }

  orbit(right, up) {
    const { target } = this;
    this.yaw += right;
    this.pitch = clamp(this.pitch - up, -STEEPEST, STEEPEST);
    this.eye = along(target, this.forward, -this.distance);
  }

  zoom(factor, [least, most]) {
    const { target } = this;
    this.distance = clamp(this.distance * factor, least, most);
    this.eye = along(target, this.forward, -this.distance);
  }

  /** In its own axes. */
  move(right, up, forward) {
    this.eye = add(this.eye, add(scale(this.right, right), add(scale(this.up, up), scale(this.forward, forward))));
  }

  copy(other) {
    const { eye, yaw, pitch, distance, fov } = other;
    Object.assign(this, { eye: [...eye], yaw, pitch, distance, fov });
    return this;
  }

  clone() { return new Pose().copy(this); }

  same(other) {
    return ["yaw", "pitch", "distance", "fov"].every((name) => this[name] === other[name]) && this.eye.every((value, i) => value === other.eye[i]);
  }
}

/** Between two poses, turning the short way round. */
export function between(a, b, share) {
  const turn = ((b.yaw - a.yaw + Math.PI) % (2 * Math.PI) + 2 * Math.PI) % (2 * Math.PI) - Math.PI;
  const number = (name) => a[name] + (b[name] - a[name]) * share;
  return new Pose({ eye: mix(a.eye, b.eye, share), yaw: a.yaw + turn * share, pitch: number("pitch"), distance: number("distance"), fov: number("fov") });
}

const ABOVE = [0.62, 0.78, -0.74]; // from where a scene is seen at first: over one corner

/** The box from above, as large as it fits into the picture. */
export function overview(low, high, aspect = 16 / 9, fov = FOV.usual) {
  const corners = Array.from({ length: 8 }, (_, i) => [i & 1 ? high[0] : low[0], i & 2 ? high[1] : low[1], i & 4 ? high[2] : low[2]]);
  const pose = new Pose({ fov });
  pose.turnTo(ABOVE);
  let target = mix(low, high, 0.5);
  const fit = [pose.tangent * aspect * 0.94, pose.tangent * 0.86]; // the rest is for the bars
  for (let round = 0; round < 8; round++) {
    const ways = corners.map((corner) => subtract(corner, target)).map((way) => [dot(way, pose.right), dot(way, pose.up), dot(way, pose.forward)]);
    pose.distance = Math.max(...ways.map(([x, y, z]) => Math.max(Math.abs(x) / fit[0], Math.abs(y) / fit[1]) - z));
    const heights = ways.map(([, y, z]) => y / (z + pose.distance)), sides = ways.map(([x, , z]) => x / (z + pose.distance));
    const off = (values) => ((Math.max(...values) + Math.min(...values)) / 2) * pose.distance;
    target = add(target, add(scale(pose.up, off(heights)), scale(pose.right, off(sides))));
  }
  pose.eye = along(target, pose.forward, -pose.distance);
  return pose;
}

/** Standing where a camera of a manifest stands, which sees `tangent` to each side; `aspect` is of the picture it is shown in. */
export function fromCamera({ origin, forward, tangent }, { distance = 16, aspect = 1 } = {}) {
  const fov = tangent ? clamp((Math.atan(tangent / aspect) * 360) / Math.PI, FOV.least, FOV.most) : FOV.usual;
  return Pose.looking([...origin], along(origin, unit(forward), distance), fov);
}
