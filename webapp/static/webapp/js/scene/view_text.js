// The view as a short string for the address: "o~64~-20~80~0.9~-0.6~150~60~depth~z0.6".

import { CHANNELS } from "./shaders.js";
import { FOV, Pose } from "./pose.js";
import { clamp } from "./vectors.js";

const MODES = { o: "orbit", f: "fly" };
const short = (value, digits = 2) => String(Number(value.toFixed(digits)));

export function writeView({ pose, mode, channel = "colour", cuts = {} }) {
  const numbers = [...pose.eye.map((value) => short(value, 1)), short(pose.yaw, 3), short(pose.pitch, 3), short(pose.distance, 1), short(pose.fov, 0)];
  const more = Object.entries(cuts).filter(([, cut]) => cut.at < 1).map(([axis, cut]) => `${cut.flip ? "-" : ""}${axis}${short(cut.at)}`);
  return [mode[0], ...numbers, ...(channel === "colour" ? [] : [channel]), ...more].join("~");
}

/** null for anything that is not such a string. */
export function readView(text) {
  const [mode, ...rest] = String(text ?? "").split("~");
  const numbers = rest.slice(0, 7).map(Number);
  if (!(mode in MODES) || numbers.length < 7 || !numbers.every(Number.isFinite)) return null;
  const [x, y, z, yaw, pitch, distance, fov] = numbers.map((value) => clamp(value, -1e5, 1e5));
  const view = { mode: MODES[mode], pose: new Pose({ eye: [x, y, z], yaw, pitch: clamp(pitch, -1.55, 1.55), distance: Math.max(1, distance), fov: clamp(fov, FOV.least, FOV.most) }), channel: "colour", cuts: {} };
  for (const part of rest.slice(7)) {
    const cut = part.match(/^(-?)([xyz])(0(?:\.\d+)?)$/);
    if (CHANNELS.includes(part)) view.channel = part;
    else if (cut) view.cuts[cut[2]] = { at: Number(cut[3]), flip: cut[1] === "-" };
  }
  return view;
}
