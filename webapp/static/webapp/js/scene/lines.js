// Many straight lines with a width in pixels, drawn in one call, and the shapes made of them.

import { DynamicDrawUsage, GLSL3, InstancedBufferAttribute, InstancedBufferGeometry, BufferAttribute, Mesh, RawShaderMaterial, Vector2 } from "three";
import { LINE } from "./shaders.js";
import { add, along, cross, length, scale, subtract, unit } from "./vectors.js";

const CORNERS = new Float32Array([0, -1, 0, 1, -1, 0, 1, 1, 0, 0, -1, 0, 1, 1, 0, 0, 1, 0]); // along the line, across it

export class Lines {
  /** `picture` holds in its alpha how far the scene is, as a share of `reach`; lines behind that are faint. */
  constructor(picture, { depthTest = false } = {}) {
    const material = new RawShaderMaterial({
      glslVersion: GLSL3, vertexShader: LINE.vertex, fragmentShader: LINE.fragment, transparent: true, depthTest, depthWrite: false,
      uniforms: { size: { value: new Vector2(1, 1) }, width: { value: 1.5 }, reach: { value: 1 }, hidden: { value: 0.16 }, picture: { value: picture } },
    });
    this.mesh = new Mesh(new InstancedBufferGeometry(), material);
    this.mesh.frustumCulled = false;
    this.set([]);
  }

  /** `lines`: [{from, to, colour: [r, g, b, a] of 0 to 1}]. */
  set(lines) {
    this.mesh.geometry.dispose();
    const geometry = new InstancedBufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(CORNERS, 3));
    const attribute = (name, width, read) => geometry.setAttribute(name, new InstancedBufferAttribute(Float32Array.from(lines.flatMap(read)), width).setUsage(DynamicDrawUsage));
    attribute("from", 3, (line) => line.from);
    attribute("to", 3, (line) => line.to);
    attribute("tint", 4, (line) => line.colour);
    geometry.instanceCount = lines.length;
    this.mesh.geometry = geometry;
    this.mesh.visible = lines.length > 0;
  }

  dispose() {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}

/** Right and down of a camera; the keys of a path have only a direction, and are level. */
function axesOf({ forward, right, down }) {
  const ahead = unit(forward), side = right ?? unit(cross(ahead, [0, 0, 1]));
  return { ahead, side, down: down ?? cross(ahead, side) };
}

/** Whether the viewer stands in the camera, whose lines would then only be in the way. */
export const isAt = ({ origin }, pose, size) => length(subtract(origin, pose.eye)) < size;

/** The four corners of a camera's picture at `depth` in front of it, from the top left clockwise. */
export function pictureCorners(camera, depth) {
  const { ahead, side, down } = axesOf(camera);
  const half = depth * (camera.tangent || 0.75), middle = along(camera.origin, ahead, depth);
  const across = scale(side, half), upright = scale(down, half / (camera.aspect || 1));
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => add(middle, add(scale(across, x), scale(upright, y))));
}

/** A pyramid from the eye to the picture, with a tick that says which way is up. */
export function frustum(camera, depth, colour) {
  const corners = pictureCorners(camera, depth);
  const lines = corners.flatMap((corner, i) => [{ from: camera.origin, to: corner, colour }, { from: corner, to: corners[(i + 1) % 4], colour }]);
  const top = along(scale(add(corners[0], corners[1]), 0.5), subtract(corners[0], corners[3]), 0.28);
  return [...lines, { from: corners[0], to: top, colour }, { from: corners[1], to: top, colour }];
}

export function boxEdges(low, high, colour) {
  const corner = (i) => [i & 1 ? high[0] : low[0], i & 2 ? high[1] : low[1], i & 4 ? high[2] : low[2]];
  const lines = [];
  for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) lines.push({ from: corner(i), to: corner(i | bit), colour });
  return lines;
}

export function polyline(points, colour) {
  return points.slice(1).map((to, i) => ({ from: points[i], to, colour }));
}

export function groundGrid(low, high, step, colour) {
  const lines = [];
  for (let x = low[0]; x <= high[0] + 1e-6; x += step) lines.push({ from: [x, low[1], low[2]], to: [x, high[1], low[2]], colour });
  for (let y = low[1]; y <= high[1] + 1e-6; y += step) lines.push({ from: [low[0], y, low[2]], to: [high[0], y, low[2]], colour });
  return lines;
}
