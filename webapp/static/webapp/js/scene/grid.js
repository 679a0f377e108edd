// What the renderer needs of a volume: premultiplied colour, how far it is to the next thing, and where the roof is.

import { BLOCK } from "./shaders.js";

/**
 * Colour times opacity, in place of colour; `bytes` is RGBA in the order (Z, Y, X). Rounded up or down by chance, each in
 * proportion: rounded to the nearest, haze of a few 255ths would lose its colour, and a ray through it adds many of them.
 */
export function premultiplied(bytes) {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += 4) {
    const alpha = bytes[i + 3];
    if (!alpha) continue;
    for (let c = 0; c < 3; c++) out[i + c] = (bytes[i + c] * alpha + chance(i + c)) / 255;
    out[i + 3] = alpha;
  }
  return out;
}

/** 0 to 254, the same for the same place (a mixer of 32 bits, xorshift and multiply). */
function chance(place) {
  let mixed = Math.imul(place ^ (place >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return ((mixed ^ (mixed >>> 16)) >>> 0) % 255;
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

const FIRM = 48; // of 255: thinner voxels are haze, not things
const COVERED = 0.35; // of the columns with anything in them: more of them closed above the cameras, and the scene has a roof
const MARGIN = 2; // voxels
const BRIGHT = 0.42; // mean of the strongest channel that orbit's light brings a dark scene to
const MOST_EXPOSURE = 2.4;

/**
 * Where a scene is, at what height to open it, and how much light it needs: {low, high, roof} in voxels (x, y, z), exposure
 * as a factor. The roof lies a little over the cameras, or at the top where there is none.
 */
export function shape(bytes, [depth, height, width], cameras) {
  const level = cameras.length ? Math.min(depth, Math.ceil(Math.max(...cameras.map(({ origin }) => origin[2])) + depth * 0.06)) : depth;
  const low = [width, height, depth], high = [0, 0, 0];
  let filled = 0, covered = 0, firm = 0, light = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let top = -1, bottom = -1;
      for (let z = 0; z < depth; z++) {
        const at = ((z * height + y) * width + x) * 4;
        if (bytes[at + 3] < FIRM) continue;
        firm++;
        light += Math.max(bytes[at], bytes[at + 1], bytes[at + 2]) / 255;
        if (bottom < 0) bottom = z;
        top = z;
      }
      if (top < 0) continue;
      filled++;
      if (top >= level) covered++;
      for (const [i, [least, most]] of [[x, x], [y, y], [bottom, top]].entries()) {
        low[i] = Math.min(low[i], least);
        high[i] = Math.max(high[i], most + 1);
      }
    }
  }
  if (!filled) return { low: [0, 0, 0], high: [width, height, depth], roof: depth, exposure: 1 };
  const sides = [width, height, depth];
  const roof = covered > COVERED * filled ? level : depth;
  return { low: low.map((value) => Math.max(0, value - MARGIN)), high: high.map((value, i) => Math.min(sides[i], value + MARGIN)), roof, exposure: Math.min(MOST_EXPOSURE, Math.max(1, (BRIGHT * firm) / (light || 1))) };
}
