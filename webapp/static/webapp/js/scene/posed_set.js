// Reading a set of posed pictures. Everything is brought to a size of SIDE, whatever the set's unit.

import { SceneError } from "./manifest.js";
import { scale, subtract, unit } from "./vectors.js";

export const SIDE = 128;
const POINT_BYTES = 15; // three float32, three uint8
const isVector = (value) => Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);

/** {low, high, cameras, points: url or null, place(vector)}; low is the origin and the longest side is SIDE. */
export async function readPosedSet(url, signal) {
  const answer = await fetch(url, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new SceneError(`The cameras could not be read (${answer.status}).`);
  const raw = await answer.json();
  if (!isVector(raw.box?.min) || !isVector(raw.box.max) || raw.box.max.some((value, i) => value <= raw.box.min[i])) throw new SceneError("The set's box needs a min and a max of three numbers, the max larger.");
  const cameras = (Array.isArray(raw.cameras) ? raw.cameras : []).filter((camera) => isVector(camera?.origin) && isVector(camera.forward));
  if (!cameras.length) throw new SceneError("This set has no cameras.");
  const base = new URL(url, document.baseURI), size = subtract(raw.box.max, raw.box.min), factor = SIDE / Math.max(...size);
  const place = (vector) => scale(subtract(vector, raw.box.min), factor);
  const link = (value) => (typeof value === "string" && value ? new URL(value, base).href : null);
  return {
    low: [0, 0, 0], high: scale(size, factor), place, points: link(raw.points),
    cameras: cameras.map((camera) => ({
      origin: place(camera.origin), forward: unit(camera.forward), right: isVector(camera.right) ? unit(camera.right) : undefined,
      down: isVector(camera.down) ? unit(camera.down) : undefined, tangent: Number(camera.tangent) || 1, aspect: Number(camera.aspect) || undefined,
      image: link(camera.image), isHeldOut: Boolean(camera.held_out), label: camera.label ? String(camera.label) : null,
    })),
  };
}

/** Little-endian: the positions of all points as float32 x, y, z, then the colours of all as uint8 r, g, b. */
export async function readPoints(url, place, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new SceneError(`The points could not be read (${answer.status}).`);
  const buffer = await answer.arrayBuffer();
  const count = buffer.byteLength / POINT_BYTES;
  if (!Number.isInteger(count)) throw new SceneError("The points are not of 15 bytes each.");
  const positions = new Float32Array(buffer, 0, count * 3);
  for (let i = 0; i < count; i++) positions.set(place([positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]]), 3 * i);
  return { positions, colours: new Uint8Array(buffer, count * 12) };
}
