// Draw a map from above: with the pointer, or with the arrow keys and the space bar. What is drawn outlives a reload.

import { setText } from "./dom.js";
import { cellsBetween, copyOf, dab, emptyMap, FLOOR, fromPixels, isEmpty, makeHistory, OUTSIDE, pour, toLook, toPixels, WALL } from "./scene_map.js";

const KINDS = { floor: FLOOR, wall: WALL, outside: OUTSIDE };
const WORDS = { [FLOOR]: "floor", [WALL]: "wall", [OUTSIDE]: "outside" };
const STRIDE = 4; // cells that an arrow key moves with Shift

/** `onChange()` after each change. Returns {isEmpty, toBlob}. */
export function mountPainter(panel, onChange = () => {}) {
  const canvas = panel.querySelector("canvas");
  const status = panel.querySelector("[data-cell]");
  const buttons = [...panel.querySelectorAll("[data-brush]")];
  const ranges = Object.fromEntries(["size", "floor"].map((name) => [name, panel.querySelector(`[data-range="${name}"]`)]));
  const width = Number(panel.dataset.width);
  const height = Number(panel.dataset.height);
  const key = `map ${location.pathname.split("/")[2]}`;
  const history = makeHistory();
  const small = new OffscreenCanvas(width, height);
  let map = restored();
  let tool = "floor";
  let cursor = null; // shown for the keyboard only
  let pen = false; // whether moving paints
  let stroke = null; // the last cell of the stroke that the pointer draws

  function restored() {
    try {
      const bytes = Uint8ClampedArray.from(atob(sessionStorage.getItem(key) || ""), (each) => each.charCodeAt(0));
      return bytes.length === 4 * width * height ? fromPixels(bytes, width, height) : emptyMap(width, height);
    } catch { return emptyMap(width, height); }
  }

  const brush = () => ({
    kind: KINDS[tool === "fill" ? "floor" : tool], size: Number(ranges.size.value),
    floor: Math.round(2.55 * ranges.floor.value),
  });

  function changed() {
    try { sessionStorage.setItem(key, btoa(String.fromCharCode(...toPixels(map)))); } catch { /* private windows keep nothing */ }
    draw();
    onChange();
  }

  function draw() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!wide || !high) return;
    if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; }
    small.getContext("2d").putImageData(new ImageData(toLook(map), width, height), 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, wide, high);
    context.strokeStyle = "rgba(255, 255, 255, .07)";
    context.beginPath();
    const every = width > 48 ? 8 : 4;
    for (let x = every; x < width; x += every) { const at = Math.round((x * wide) / width) + 0.5; context.moveTo(at, 0); context.lineTo(at, high); }
    for (let y = every; y < height; y += every) { const at = Math.round((y * high) / height) + 0.5; context.moveTo(0, at); context.lineTo(wide, at); }
    context.stroke();
    if (cursor && document.activeElement === canvas) {
      const { size } = brush();
      const before = Math.floor((size - 1) / 2);
      const [cell, tall] = [wide / width, high / height];
      context.strokeStyle = "#ffb000";
      context.lineWidth = 2 * ratio;
      context.strokeRect((cursor.x - before) * cell, (cursor.y - before) * tall, size * cell, size * tall);
    }
    canvas.setAttribute("aria-label", summary());
    for (const [name, able] of [["undo", history.canUndo], ["redo", history.canRedo], ["clear", !isEmpty(map)]]) panel.querySelector(`[data-${name}]`).disabled = !able;
  }

  function summary() {
    const parts = [FLOOR, WALL].map((kind) => `${map.kind.reduce((sum, each) => sum + (each === kind), 0)} ${WORDS[kind]}`);
    return `Map of ${width} by ${height} cells seen from above, north at the top: ${isEmpty(map) ? "nothing drawn yet" : parts.join(", ")}.`;
  }

  function say(x, y) {
    const cell = y * width + x;
    const heights = map.kind[cell] === OUTSIDE ? "" : ` at ${Math.round(map.floor[cell] / 2.55)}%`;
    setText(status, `Column ${x + 1}, row ${y + 1}: ${WORDS[map.kind[cell]]}${heights}${pen ? "; painting" : ""}`);
  }

  function paintAt(x, y) {
    if (tool === "fill") pour(map, x, y, brush());
    else dab(map, x, y, brush());
  }

  function placeOf(event) {
    const box = canvas.getBoundingClientRect();
    const within = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value)));
    return [within(((event.clientX - box.left) / box.width) * width, width), within(((event.clientY - box.top) / box.height) * height, height)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    cursor = null;
    history.keep(map);
    const [x, y] = placeOf(event);
    paintAt(x, y);
    stroke = tool === "fill" ? null : [x, y];
    say(x, y);
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = placeOf(event);
    if (!stroke) return;
    for (const [i, j] of cellsBetween(...stroke, x, y)) dab(map, i, j, brush());
    stroke = [x, y];
    say(x, y);
    changed();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { stroke = null; });

  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const letter = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (letter === "z" || letter === "y")) { step(letter === "y" || event.shiftKey ? "redo" : "undo"); event.preventDefault(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    cursor ||= { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    if (move) {
      const far = event.shiftKey ? STRIDE : 1;
      const [x, y] = [cursor.x, cursor.y];
      cursor = { x: Math.max(0, Math.min(width - 1, x + far * move[0])), y: Math.max(0, Math.min(height - 1, y + far * move[1])) };
      if (pen) { for (const [i, j] of cellsBetween(x, y, cursor.x, cursor.y)) paintAt(i, j); changed(); }
    } else if (event.key === " " || event.key === "Enter") {
      history.keep(map);
      paintAt(cursor.x, cursor.y);
      changed();
    } else if (letter === "p") {
      pen = !pen;
      if (pen) { history.keep(map); paintAt(cursor.x, cursor.y); changed(); }
    } else if (/^[1-4]$/.test(letter)) choose(buttons[Number(letter) - 1].dataset.brush);
    else return;
    event.preventDefault();
    say(cursor.x, cursor.y);
    draw();
  });
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) cursor ||= { x: Math.floor(width / 2), y: Math.floor(height / 2) }; draw(); });
  canvas.addEventListener("blur", () => { pen = false; draw(); });

  function choose(name) {
    tool = name;
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.brush === name);
  }
  for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.brush));
  for (const [name, range] of Object.entries(ranges)) {
    const tell = () => setText(panel.querySelector(`[data-value="${name}"]`), name === "size" ? range.value : `${range.value}%`);
    range.addEventListener("input", () => { tell(); draw(); });
    tell();
  }

  function step(way) {
    map = history[way](map);
    changed();
  }
  panel.querySelector("[data-undo]").addEventListener("click", () => step("undo"));
  panel.querySelector("[data-redo]").addEventListener("click", () => step("redo"));
  panel.querySelector("[data-clear]").addEventListener("click", () => { history.keep(map); map = emptyMap(width, height); changed(); });
  panel.querySelector("[data-room]").addEventListener("click", () => { history.keep(map); map = copyOf(map); addRoom(); changed(); });

  /** A room in the middle to begin with: a floor with walls about it. */
  function addRoom() {
    const [left, top, right, bottom] = [width / 4, height / 4, (3 * width) / 4, (3 * height) / 4].map(Math.round);
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) {
        const rim = x === left || y === top || x === right - 1 || y === bottom - 1;
        dab(map, x, y, { ...brush(), kind: rim ? WALL : FLOOR, size: 1 });
      }
    }
  }

  new ResizeObserver(draw).observe(canvas);
  draw();
  return {
    isEmpty: () => isEmpty(map),
    /** Take over a picture of a map, such as a scene's. */
    async load(url) {
      const picture = await createImageBitmap(await (await fetch(url)).blob(), { resizeWidth: width, resizeHeight: height, resizeQuality: "pixelated" });
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(picture, 0, 0);
      history.keep(map);
      map = fromPixels(context.getImageData(0, 0, width, height).data, width, height);
      changed();
    },
    /** The map as a PNG of one pixel a cell, see scene_map.js. */
    async toBlob() {
      const picture = new OffscreenCanvas(width, height);
      picture.getContext("2d").putImageData(new ImageData(toPixels(map), width, height), 0, 0);
      return picture.convertToBlob({ type: "image/png" });
    },
  };
}
