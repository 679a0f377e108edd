// The canvas of a set of posed pictures: pictures in front of their cameras, points, lines, with a depth buffer.

import { BufferAttribute, BufferGeometry, DataTexture, DoubleSide, GLSL3, LinearFilter, Mesh, MeshBasicMaterial, Points, RawShaderMaterial, Scene, Texture } from "three";
import { CanvasStage } from "./canvas_stage.js";
import { Lines } from "./lines.js";

const FAR = 1e9;
const POINT = {
  vertex: /* glsl */ `
in vec3 position;
in vec3 tint;
uniform mat4 projectionMatrix, modelViewMatrix;
uniform float scale, ceiling;
out vec3 colour;
void main() {
  vec4 place = modelViewMatrix * vec4(position, 1.0);
  colour = tint;
  gl_Position = position.z > ceiling ? vec4(2.0, 2.0, 2.0, 1.0) : projectionMatrix * place;
  gl_PointSize = clamp(scale / -place.z, 1.5, 24.0);
}`,
  fragment: /* glsl */ `
precision highp float;
in vec3 colour;
out vec4 result;
void main() {
  if (length(gl_PointCoord - 0.5) > 0.5) discard;
  result = vec4(colour, 1.0);
}`,
};

export class PosedStage extends CanvasStage {
  constructor(canvas) {
    super(canvas, { antialias: true, alpha: true });
    this.renderer.setClearColor(0, 0);
    this.scene = new Scene();
    this.far = new DataTexture(new Uint8Array([0, 0, 0, 255]), 1, 1);
    this.far.needsUpdate = true;
    this.lines = new Lines(this.far, { depthTest: true });
    this.lines.mesh.material.uniforms.reach.value = FAR;
    this.lines.mesh.renderOrder = 2;
    this.scene.add(this.lines.mesh);
    this.pictures = [];
  }

  /** `positions` Float32Array of 3 n, `colours` Uint8Array of 3 n. */
  setPoints(positions, colours) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(positions, 3));
    geometry.setAttribute("tint", new BufferAttribute(colours, 3, true));
    this.points = new Points(geometry, new RawShaderMaterial({ glslVersion: GLSL3, vertexShader: POINT.vertex, fragmentShader: POINT.fragment, uniforms: { scale: { value: 1 }, ceiling: { value: FAR } } }));
    this.points.frustumCulled = false;
    this.scene.add(this.points);
  }

  /** A picture on the quad of these corners, from the top left clockwise. */
  addPicture(image, corners) {
    const [a, b, c, d] = corners;
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array([...a, ...d, ...c, ...a, ...c, ...b]), 3));
    geometry.setAttribute("uv", new BufferAttribute(new Float32Array([0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1]), 2));
    const texture = new Texture(image);
    Object.assign(texture, { minFilter: LinearFilter, generateMipmaps: false, needsUpdate: true });
    const mesh = new Mesh(geometry, new MeshBasicMaterial({ map: texture, side: DoubleSide, transparent: true, opacity: 0.92 }));
    this.pictures.push(mesh);
    this.scene.add(mesh);
    return mesh;
  }

  /** Points above `ceiling` are left out. */
  draw({ pose, ceiling = FAR }) {
    this.aim(pose);
    const { uniforms } = this.lines.mesh.material;
    uniforms.size.value.set(this.width, this.height);
    uniforms.width.value = 1.1 * this.pixelRatio;
    if (this.points) {
      this.points.material.uniforms.scale.value = (this.height * 0.55) / pose.tangent;
      this.points.material.uniforms.ceiling.value = ceiling;
    }
    this.renderer.setRenderTarget(null);
    this.renderer.clear();
    this.renderer.render(this.scene, this.camera);
  }

  dispose() {
    this.lines.dispose();
    this.far.dispose();
    this.points?.geometry.dispose();
    this.points?.material.dispose();
    for (const { geometry, material } of this.pictures) { geometry.dispose(); material.map.dispose(); material.dispose(); }
    super.dispose();
  }
}
