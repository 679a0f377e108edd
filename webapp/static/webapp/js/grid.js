// Where the tiles of a board are. Pure: no page. The server does the same (webapp/boards/content.py, settled).

export const COLUMNS = 12;

/**
 * The tiles in an order, each moved left until it fits and then up until it meets another: {id, x, y, w, h} as new
 * objects. `moved` is the id of a tile that somebody drags: it goes before a tile whose middle it has passed.
 */
export function settled(tiles, moved = null) {
  const others = tiles.filter(({ id }) => id !== moved).sort((a, b) => a.y - b.y || a.x - b.x);
  const tile = tiles.find(({ id }) => id === moved);
  if (tile) {
    const at = others.findIndex((other) => overlap(fitted(tile), other) && tile.y < other.y + other.h / 2);
    const below = at < 0 ? others.findIndex((other) => other.y > tile.y && !overlap(fitted(tile), other)) : at;
    others.splice(below < 0 ? others.length : below, 0, tile);
  }
  const floor = Array(COLUMNS).fill(0); // the first free row of each column
  return others.map((each) => {
    const { x } = fitted(each);
    const y = Math.max(...floor.slice(x, x + each.w));
    floor.fill(y + each.h, x, x + each.w);
    return { ...each, x, y };
  });
}

const fitted = (tile) => ({ ...tile, x: Math.max(0, Math.min(tile.x, COLUMNS - tile.w)) });
const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w;

/** In reading order. */
export const reading = (tiles) => [...tiles].sort((a, b) => a.y - b.y || a.x - b.x);

/** One step with an arrow key: sideways by a column, up and down past the next tile. */
export function stepped(tiles, id, key) {
  const tile = tiles.find((each) => each.id === id);
  const beside = tiles.filter((each) => each.id !== id && overlap(tile, each));
  const next = { ...tile };
  if (key === "ArrowLeft") next.x = Math.max(0, tile.x - 1);
  if (key === "ArrowRight") next.x = Math.min(COLUMNS - tile.w, tile.x + 1);
  if (key === "ArrowUp") {
    const above = beside.filter((each) => each.y < tile.y);
    if (above.length) next.y = Math.max(...above.map(({ y }) => y));
  }
  if (key === "ArrowDown") {
    const below = beside.filter((each) => each.y > tile.y).sort((a, b) => a.y - b.y)[0];
    if (below) next.y = below.y + below.h;
  }
  return settled(tiles.map((each) => (each.id === id ? next : each)), id);
}
