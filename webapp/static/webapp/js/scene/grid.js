// What the renderer needs of a volume: premultiplied colour, how far it is to the next thing, and where the roof is.

import { BLOCK } from "./shaders.js";

/** Colour times opacity, in place of colour; `bytes` is RGBA in the order (Z, Y, X). */
export function premultiplied(bytes) {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += 4) {
    const alpha = bytes[i + 3];
    if (!alpha) continue;
    out[i] = (bytes[i] * alpha + 127) / 255;
    out[i + 1] = (bytes[i + 1] * alpha + 127) / 255;
    out[i + 2] = (bytes[i + 2] * alpha + 127) / 255;
    out[i + 3] = alpha;
  }
  return out;
}

/**
 * For each block of BLOCK^3 voxels the distance to the nearest block with anything in it, in blocks, along the longest axis:
 * 0 means occupied, d means that the cube of d - 1 blocks around it is empty too. A block counts as occupied when a voxel
 * next to it is, because interpolation reaches there. Returns {distances, size: [Z, Y, X], occupied: number of voxels}.
 */
export function leaps(bytes, [depth, height, width]) {
  const size = [depth, height, width].map((side) => Math.ceil(side / BLOCK));
  const [bz, by, bx] = size;
  const distances = new Uint8Array(bz * by * bx).fill(255);
  let occupied = 0;
  const around = (value, side) => [Math.max(0, Math.floor((value - 1) / BLOCK)), Math.min(side - 1, Math.floor((value + 1) / BLOCK))];
  for (let z = 0, i = 3; z < depth; z++) {
    const [z0, z1] = around(z, bz);
    for (let y = 0; y < height; y++) {
      const [y0, y1] = around(y, by);
      for (let x = 0; x < width; x++, i += 4) {
        if (!bytes[i]) continue;
        occupied++;
        const [x0, x1] = around(x, bx);
        for (let c = z0; c <= z1; c++) for (let b = y0; b <= y1; b++) for (let a = x0; a <= x1; a++) distances[(c * by + b) * bx + a] = 0;
      }
    }
  }
  spread(distances, size);
  return { distances, size, occupied };
}

/** Chebyshev distances, axis by axis: after x, y and z each cell holds min over cells of max(|dx|, |dy|, |dz|). */
function spread(distances, [depth, height, width]) {
  const at = (z, y, x) => (z * height + y) * width + x;
  for (let round = 0; round < 2; round++) {
    const back = round === 1;
    for (let n = 0; n < depth * height * width; n++) {
      const i = back ? depth * height * width - 1 - n : n;
      const x = i % width, y = Math.floor(i / width) % height, z = Math.floor(i / (width * height));
      let least = distances[i];
      for (let c = Math.max(0, z - 1); c <= Math.min(depth - 1, z + 1); c++) {
        for (let b = Math.max(0, y - 1); b <= Math.min(height - 1, y + 1); b++) {
          for (let a = Math.max(0, x - 1); a <= Math.min(width - 1, x + 1); a++) least = Math.min(least, distances[at(c, b, a)] + 1);
        }
      }
      distances[i] = Math.min(distances[i], least);
    }
  }
}

const COVERED = 0.35; // share of the columns: more of them closed above the cameras, and the scene has a roof

/** The height at which to open a scene that is closed above: a little over where the cameras stand, or all of it. */
export function roofHeight(bytes, [depth, height, width], cameras) {
  if (!cameras.length) return depth;
  const level = Math.ceil(Math.max(...cameras.map(({ origin }) => origin[2])) + depth * 0.06);
  if (level >= depth) return depth;
  let covered = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let z = level; z < depth; z++) {
        if (bytes[((z * height + y) * width + x) * 4 + 3] > 64) { covered++; break; }
      }
    }
  }
  return covered > COVERED * width * height ? level : depth;
}
