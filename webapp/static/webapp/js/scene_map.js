// A map from above that a person draws, as numbers: what each cell of the ground is, and how high its floor lies.
// Pure: no page. Row 0 is the north edge, as people read maps; column 0 the west edge.

export const OUTSIDE = 0;
export const FLOOR = 1;
export const WALL = 2;
const KEPT = 100; // steps that can be undone

/** `floor`: 0 to 255 over the height of the scene's box. */
export const emptyMap = (width, height) => ({ width, height, kind: new Uint8Array(width * height), floor: new Uint8Array(width * height) });

export const copyOf = (map) => ({ ...map, kind: map.kind.slice(), floor: map.floor.slice() });

export const isEmpty = (map) => map.kind.every((kind) => kind === OUTSIDE);

/** Paint a square of `size` cells about (x, y). `brush`: {kind, floor, size}; an outside has no height. */
export function dab(map, x, y, brush) {
  const before = Math.floor((brush.size - 1) / 2);
  for (let row = y - before; row < y - before + brush.size; row += 1) {
    for (let column = x - before; column < x - before + brush.size; column += 1) {
      if (row < 0 || column < 0 || row >= map.height || column >= map.width) continue;
      const cell = row * map.width + column;
      map.kind[cell] = brush.kind;
      map.floor[cell] = brush.kind === OUTSIDE ? 0 : brush.floor;
    }
  }
}

/** Cells from one to another, both included (Bresenham 1965), so that a quick stroke has no gaps. */
export function cellsBetween(x0, y0, x1, y1) {
  const found = [];
  const [dx, dy] = [Math.abs(x1 - x0), -Math.abs(y1 - y0)];
  const [right, down] = [Math.sign(x1 - x0), Math.sign(y1 - y0)];
  let [x, y, error] = [x0, y0, dx + dy];
  for (;;) {
    found.push([x, y]);
    if (x === x1 && y === y1) return found;
    const twice = 2 * error;
    if (twice >= dy) { error += dy; x += right; }
    if (twice <= dx) { error += dx; y += down; }
  }
}

/** Give all cells that hang together with (x, y) and are of its kind and floor the brush's. */
export function pour(map, x, y, brush) {
  const start = y * map.width + x;
  const [kind, floor] = [map.kind[start], map.floor[start]];
  const seen = new Uint8Array(map.kind.length);
  const left = [start];
  seen[start] = 1;
  while (left.length) {
    const cell = left.pop();
    const [column, row] = [cell % map.width, Math.floor(cell / map.width)];
    dab(map, column, row, { ...brush, size: 1 });
    for (const [i, j] of [[column - 1, row], [column + 1, row], [column, row - 1], [column, row + 1]]) {
      const next = j * map.width + i;
      if (i < 0 || j < 0 || i >= map.width || j >= map.height || seen[next] || map.kind[next] !== kind || map.floor[next] !== floor) continue;
      seen[next] = 1;
      left.push(next);
    }
  }
}

/** Steps back and forth. `keep(map)` before each change. */
export function makeHistory() {
  const past = [];
  const future = [];
  return {
    keep(map) {
      past.push(copyOf(map));
      if (past.length > KEPT) past.shift();
      future.length = 0;
    },
    undo(map) {
      if (!past.length) return map;
      future.push(copyOf(map));
      return past.pop();
    },
    redo(map) {
      if (!future.length) return map;
      past.push(copyOf(map));
      return future.pop();
    },
    get canUndo() { return past.length > 0; },
    get canRedo() { return future.length > 0; },
  };
}

/** RGBA bytes as workers read them: red a wall, green inside, blue the floor's height; the first row is y = 0, the south. */
export function toPixels({ width, height, kind, floor }) {
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const cell = row * width + column;
      const inside = kind[cell] === OUTSIDE ? 0 : 255;
      pixels.set([kind[cell] === WALL ? 255 : 0, inside, inside && floor[cell], 255], 4 * ((height - 1 - row) * width + column));
    }
  }
  return pixels;
}

/** The inverse of `toPixels`. */
export function fromPixels(pixels, width, height) {
  const map = emptyMap(width, height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const at = 4 * ((height - 1 - row) * width + column);
      const cell = row * width + column;
      map.kind[cell] = pixels[at + 1] < 128 ? OUTSIDE : pixels[at] < 128 ? FLOOR : WALL;
      map.floor[cell] = map.kind[cell] === OUTSIDE ? 0 : pixels[at + 2];
    }
  }
  return map;
}

/** RGBA bytes as people see it: walls nearly white, floors the brighter the higher, green; outside dark. */
export function toLook(map) {
  const pixels = new Uint8ClampedArray(4 * map.kind.length);
  for (let cell = 0; cell < map.kind.length; cell += 1) {
    const share = map.floor[cell] / 255;
    const colour = map.kind[cell] === OUTSIDE ? [10, 14, 12] : map.kind[cell] === WALL ? [226, 232, 228] : [28 + 60 * share, 78 + 130 * share, 58 + 92 * share];
    pixels.set([...colour, 255], 4 * cell);
  }
  return pixels;
}
