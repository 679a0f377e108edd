// Moving and resizing tiles: with a mouse, a finger or a pen by the handles, with the arrow keys on the same handles.

import { place } from "./board_tiles.js";
import { COLUMNS, reading, settled, stepped } from "./grid.js";

const EDGE = 48; // px from the window's edge at which dragging scrolls
const STEP = 14; // px of scrolling a move
const ROW = 32; // px, where tiles stand in one column and rows have no height of their own

/** `limits`: {width, height, mostHeight}. `onChange(tiles, moved)` after each change that stays. */
export class Grid {
  constructor(root, tiles, limits, onChange, say) {
    Object.assign(this, { root, tiles, limits, onChange, say });
    this.editing = false;
    this.draw(tiles);
    root.addEventListener("pointerdown", (event) => this.grab(event));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  get(id) { return this.tiles.find((tile) => tile.id === id); }
  node(id) { return this.root.querySelector(`[data-tile="${id}"]`); }

  draw(tiles) {
    for (const tile of tiles) place(this.node(tile.id), tile);
    this.root.dataset.placed = "";
  }

  /** Make `tiles` what stays: on the page in reading order too, for keyboards and screen readers. */
  keep(tiles, moved = null) {
    this.tiles = reading(tiles);
    this.draw(this.tiles);
    const focused = document.activeElement;
    this.tiles.forEach(({ id }, i) => {
      const node = this.node(id);
      if (this.root.children[i] !== node) this.root.insertBefore(node, this.root.children[i]);
    });
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.onChange(this.tiles, moved);
  }

  change(id, change) {
    this.keep(settled(this.tiles.map((tile) => (tile.id === id ? { ...tile, ...change } : tile)), id), id);
  }

  remove(id) {
    this.node(id).remove();
    this.keep(settled(this.tiles.filter((tile) => tile.id !== id)));
  }

  add(tile) {
    const y = Math.max(0, ...this.tiles.map((each) => each.y + each.h));
    this.keep(settled([...this.tiles, { ...tile, x: 0, y }]), tile.id);
  }

  // ---- keys --------------------------------------------------------------------------------------------------------

  key(event) {
    const handle = event.target.closest("[data-move], [data-size]");
    if (!this.editing || !handle || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const { id } = this.get(handle.closest("[data-tile]").dataset.tile);
    if ("move" in handle.dataset && !event.shiftKey) this.keep(stepped(this.tiles, id, event.key), id);
    else this.change(id, this.sized(this.get(id), event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0, event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0));
    this.tell(id);
  }

  sized({ x, w, h }, wider, taller) {
    const { width, height, mostHeight } = this.limits;
    return { w: Math.max(width, Math.min(COLUMNS - x, w + wider)), h: Math.max(height, Math.min(mostHeight, h + taller)) };
  }

  tell(id) {
    const { x, y, w, h } = this.get(id);
    this.say(`${this.node(id).dataset.title}: column ${x + 1}, row ${y + 1}, ${w} columns wide, ${h} rows high.`);
  }

  // ---- pointer -----------------------------------------------------------------------------------------------------

  grab(event) {
    const handle = event.target.closest("[data-move], [data-size]");
    if (!this.editing || !handle || event.button) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    const node = handle.closest("[data-tile]");
    const start = this.get(node.dataset.tile);
    const before = this.tiles;
    const from = { x: event.clientX, y: event.clientY + scrollY };
    const resizes = "size" in handle.dataset;
    let now = before;
    node.classList.add("dragged");

    const move = (to) => {
      if (to.clientY < EDGE) scrollBy(0, -STEP);
      if (to.clientY > innerHeight - EDGE) scrollBy(0, STEP);
      const cell = this.cell();
      const dx = Math.round((to.clientX - from.x) / cell.width);
      const dy = Math.round((to.clientY + scrollY - from.y) / cell.height);
      const change = resizes ? this.sized(start, dx, dy) : { x: Math.max(0, Math.min(COLUMNS - start.w, start.x + dx)), y: Math.max(0, start.y + dy) };
      now = settled(before.map((tile) => (tile.id === start.id ? { ...tile, ...change } : tile)), start.id);
      this.draw(now);
    };
    const end = (cancelled) => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", drop);
      handle.removeEventListener("pointercancel", cancel);
      removeEventListener("keydown", escape, true);
      node.classList.remove("dragged");
      if (cancelled) this.draw(before);
      else if (now !== before) { this.keep(now, start.id); this.tell(start.id); }
    };
    const drop = () => end(false);
    const cancel = () => end(true);
    const escape = (key) => { if (key.key === "Escape") { key.stopPropagation(); end(true); } };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", drop);
    handle.addEventListener("pointercancel", cancel);
    addEventListener("keydown", escape, true);
  }

  /** The size of a cell with its gap, in px. */
  cell() {
    const { columnGap, rowGap, gridAutoRows } = getComputedStyle(this.root);
    const gap = parseFloat(columnGap);
    return { width: (this.root.clientWidth + gap) / COLUMNS, height: (parseFloat(gridAutoRows) || ROW) + parseFloat(rowGap) };
  }
}
