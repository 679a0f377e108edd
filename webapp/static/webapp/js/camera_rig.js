// The cameras of a scene in its box, drawn as lines on a canvas: no WebGL, so it works everywhere.
// Coordinates are voxels (x, y, z), z up. A camera is {origin, right, down, forward, tangent}.

import { currentLook } from "./figure.js";

const TURN = 0.12; // radians of an arrow key
const NEAR = 12; // px: a click takes the camera whose middle is not farther

const sub = (a, b) => a.map((value, i) => value - b[i]);
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const along = (a, b, share) => a.map((value, i) => value + share * b[i]);

/** Lines of a camera's frustum, `length` voxels long: pairs of points. */
export function frustum({ origin, right, down, forward, tangent }, length) {
  const middle = along(origin, forward, length);
  const corner = (x, y) => along(along(middle, right, x * tangent * length), down, y * tangent * length);
  const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
  const roof = along(middle, down, -1.5 * tangent * length); // a mark at the upper edge: which way is up
  return [...corners.map((each) => [origin, each]), ...corners.map((each, i) => [each, corners[(i + 1) % 4]]), [corners[0], roof], [roof, corners[1]]];
}

/** The twelve edges of the box from 0 to `size` (x, y, z). */
export function boxEdges([x, y, z]) {
  const floor = [[0, 0], [x, 0], [x, y], [0, y]];
  return floor.flatMap(([a, b], i) => {
    const [c, d] = floor[(i + 1) % 4];
    return [[[a, b, 0], [c, d, 0]], [[a, b, z], [c, d, z]], [[a, b, 0], [a, b, z]]];
  });
}

/** Looks at the middle of the box. project(point) gives [x, y, depth] in pixels. */
export function makeView(size, { yaw = 0.7, pitch = 0.6, zoom = 1 } = {}) {
  const middle = size.map((each) => each / 2);
  const radius = Math.hypot(...size) / 2;
  return {
    yaw, pitch, zoom,
    project(point, width, height) {
      const [x, y, z] = sub(point, middle);
      const [cos, sin] = [Math.cos(this.yaw), Math.sin(this.yaw)];
      const [across, ahead] = [x * cos + y * sin, -x * sin + y * cos];
      const depth = ahead * Math.cos(this.pitch) - z * Math.sin(this.pitch);
      const up = ahead * Math.sin(this.pitch) + z * Math.cos(this.pitch);
      const distance = 3.2 * radius;
      const scale = ((0.46 * Math.min(width, 1.3 * height) * this.zoom) / radius) * (distance / (distance + depth));
      return [width / 2 + across * scale, height / 2 - up * scale, depth];
    },
  };
}

/**
 * Keep `canvas` drawn. `rig`: {size, cameras, held}; held: numbers of views that are never encoded.
 * `onChoose(number)` when somebody clicks a camera; `onView(text)` when the view was moved. Returns {choose, setView, redraw}.
 */
export function mountRig(canvas, rig, { onChoose, onView }) {
  const view = makeView(rig.size);
  const held = new Set(rig.held);
  const length = 0.07 * Math.hypot(rig.size[0], rig.size[1]);
  const frusta = rig.cameras.map((camera) => frustum(camera, length));
  const edges = boxEdges(rig.size);
  let chosen = 0;
  let dragged = null;

  function lines(context, pairs, colour, wide) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.beginPath();
    for (const [from, to] of pairs) {
      const [a, b] = [view.project(from, canvas.width, canvas.height), view.project(to, canvas.width, canvas.height)];
      context.moveTo(a[0], a[1]);
      context.lineTo(b[0], b[1]);
    }
    context.stroke();
  }

  function redraw() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const look = currentLook();
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.lineJoin = "round";
    lines(context, floorLines(rig.size), look.grid, ratio);
    lines(context, edges, look.axis, 1.5 * ratio);
    frusta.forEach((each, number) => { if (number !== chosen) lines(context, each, look.c[held.has(number) ? 2 : 1], 1.2 * ratio); });
    if (frusta[chosen]) lines(context, frusta[chosen], look.strong, 2.6 * ratio);
  }

  function nearest(event) {
    const ratio = canvas.width / canvas.clientWidth;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    let best = [NEAR * ratio, -1];
    rig.cameras.forEach((camera, number) => {
      const place = view.project(along(camera.origin, camera.forward, length / 2), canvas.width, canvas.height);
      const gap = Math.hypot(place[0] - x, place[1] - y);
      if (gap < best[0]) best = [gap, number];
    });
    return best[1];
  }

  function turn(yaw, pitch, zoom = 1) {
    view.yaw += yaw;
    view.pitch = Math.max(-0.2, Math.min(1.55, view.pitch + pitch));
    view.zoom = Math.max(0.5, Math.min(6, view.zoom * zoom));
    redraw();
    onView([view.yaw, view.pitch, view.zoom].map((each) => each.toFixed(2)).join(","));
  }

  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); dragged = 0; });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged === null) return;
    dragged += Math.abs(event.movementX) + Math.abs(event.movementY);
    turn(-event.movementX * 0.008, event.movementY * 0.008);
  });
  canvas.addEventListener("pointerup", (event) => {
    const number = dragged !== null && dragged < 4 ? nearest(event) : -1;
    dragged = null;
    if (number >= 0) onChoose(number);
  });
  canvas.addEventListener("pointercancel", () => { dragged = null; });
  canvas.addEventListener("wheel", (event) => { if (!event.ctrlKey && !event.metaKey) return; event.preventDefault(); turn(0, 0, Math.exp(-event.deltaY * 0.002)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [TURN, 0], ArrowRight: [-TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN], "+": [0, 0, 1.15], "-": [0, 0, 1 / 1.15] }[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    turn(...move);
  });
  document.documentElement.addEventListener("themechange", redraw);
  new ResizeObserver(redraw).observe(canvas);

  return {
    redraw,
    choose(number) { chosen = number; redraw(); },
    setView(text) {
      const [yaw, pitch, zoom] = String(text).split(",").map(Number);
      if ([yaw, pitch, zoom].every(Number.isFinite)) Object.assign(view, { yaw, pitch, zoom: Math.max(0.5, Math.min(6, zoom)) });
      redraw();
    },
  };
}

/** Eight lines each way on the floor of the box. */
function floorLines([x, y]) {
  const made = [];
  for (let i = 1; i < 8; i += 1) made.push([[(i * x) / 8, 0, 0], [(i * x) / 8, y, 0]], [[0, (i * y) / 8, 0], [x, (i * y) / 8, 0]]);
  return made;
}

/** Where a camera looks, in words: a compass heading and how far up or down. */
export function heading({ forward }) {
  const bearing = (90 - (Math.atan2(forward[1], forward[0]) * 180) / Math.PI + 360) % 360;
  const pitch = (Math.asin(Math.max(-1, Math.min(1, forward[2] / Math.hypot(...forward)))) * 180) / Math.PI;
  return [`${Math.round(bearing) % 360}°`, `${Math.round(pitch)}°`];
}

export const isFinite3 = (point) => Array.isArray(point) && point.length === 3 && point.every(Number.isFinite) && dot(point, point) < 1e12;
