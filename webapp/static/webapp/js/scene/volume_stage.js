// The canvas of a scene: marches one or two volumes into a picture, lays it on the canvas, and draws lines over it.

import {
  BufferAttribute, BufferGeometry, ConstantAlphaFactor, CustomBlending, Data3DTexture, GLSL3, HalfFloatType, LinearFilter, Mesh, NearestFilter, NoBlending,
  OneMinusConstantAlphaFactor, RawShaderMaterial, RedFormat, RGBAFormat, Scene, UnsignedByteType, Vector2, Vector3, WebGLRenderTarget,
} from "three";
import { CanvasStage } from "./canvas_stage.js";
import { leaps, premultiplied } from "./grid.js";
import { Lines } from "./lines.js";
import { CHANNELS, MARCH, SCREEN, SHOW } from "./shaders.js";
import { scale } from "./vectors.js";

const COARSE = 1, FINE = 0.5; // voxels a step
const GOLDEN = 0.6180339887;

function texture3d(data, [depth, height, width], { filter, format }) {
  const texture = new Data3DTexture(data, width, height, depth);
  Object.assign(texture, { format, type: UnsignedByteType, minFilter: filter, magFilter: filter, unpackAlignment: 1, needsUpdate: true });
  return texture;
}

/** A volume on the graphics card. `occupied` counts its voxels with anything in them. */
export class Volume {
  constructor(bytes, grid) {
    const { distances, size, occupied } = leaps(bytes, grid);
    Object.assign(this, { grid, occupied });
    this.colour = texture3d(premultiplied(bytes), grid, { filter: LinearFilter, format: RGBAFormat });
    this.leap = texture3d(distances, size, { filter: NearestFilter, format: RedFormat });
  }

  dispose() {
    this.colour.dispose();
    this.leap.dispose();
  }
}

export class VolumeStage extends CanvasStage {
  constructor(canvas) {
    super(canvas, { antialias: false, alpha: false, depth: false, stencil: false });
    const gl = this.renderer.getContext();
    this.averages = Boolean(gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float"));
    this.picture = new WebGLRenderTarget(4, 4, {
      type: this.averages ? HalfFloatType : UnsignedByteType, format: RGBAFormat, minFilter: LinearFilter, magFilter: LinearFilter, depthBuffer: false,
    });
    this.picture.scissorTest = true;
    const blending = { blending: CustomBlending, blendSrc: ConstantAlphaFactor, blendDst: OneMinusConstantAlphaFactor, blendSrcAlpha: ConstantAlphaFactor, blendDstAlpha: OneMinusConstantAlphaFactor };
    const vectors = ["grid", "low", "high", "eye", "forward", "right", "up", "sky"].map((name) => [name, { value: new Vector3() }]);
    this.march = screenMesh(MARCH, {
      volume: { value: null }, leap: { value: null }, ...Object.fromEntries(vectors), ramp: { value: Array.from({ length: 6 }, () => new Vector3()) },
      size: { value: new Vector2() }, shift: { value: new Vector2() },
      ...Object.fromEntries(["stride", "phase", "reach", "isSky", "isLit", "gain", "thickness", "channel"].map((name) => [name, { value: 1 }])),
    }, blending);
    this.show = screenMesh(SHOW, { picture: { value: this.picture.texture } }, { blending: NoBlending });
    this.overlay = new Scene();
    this.lines = new Lines(this.picture.texture);
    this.overlay.add(this.lines.mesh);
    this.marching = new Scene().add(this.march);
    this.showing = new Scene().add(this.show);
  }

  setRamp(colours) {
    this.march.material.uniforms.ramp.value.forEach((stop, i) => stop.set(...colours[i]));
  }

  /**
   * `looks`: [{volume, low, high, sky, left, right}] with low and high what is not cut away, in shares of the grid, and left
   * and right what part of the picture's width it fills. `sample` counts the frames averaged so far.
   */
  draw({ pose, looks, channel, isSky, gain, isLit, share, isCoarse, sample }) {
    const width = Math.max(2, Math.round(this.width * share)), height = Math.max(2, Math.round(this.height * share));
    if (this.picture.width !== width || this.picture.height !== height) this.picture.setSize(width, height);
    const first = looks[0].volume.grid;
    const reach = farthest(pose.eye, first);
    for (const look of looks) this.#marchOne(look, { pose, channel, isSky, gain, isLit, isCoarse, sample, reach, width, height, first });
    this.#lay(pose, reach);
  }

  #marchOne({ volume, low, high, sky, left = 0, right = 1 }, { pose, channel, isSky, gain, isLit, isCoarse, sample, reach, width, height, first }) {
    const { uniforms } = this.march.material;
    const [depth, rows, columns] = volume.grid;
    const unit = first[2] / columns; // voxels of the first volume in one of this
    const aspect = this.width / this.height;
    const set = (name, values) => uniforms[name].value.set(...values);
    uniforms.volume.value = volume.colour;
    uniforms.leap.value = volume.leap;
    set("grid", [columns, rows, depth]);
    set("low", [low[0] * columns, low[1] * rows, low[2] * depth]);
    set("high", [high[0] * columns, high[1] * rows, high[2] * depth]);
    set("eye", scale(pose.eye, 1 / unit));
    set("forward", pose.forward);
    set("right", scale(pose.right, pose.tangent * aspect));
    set("up", scale(pose.up, pose.tangent));
    set("sky", sky);
    set("size", [width / 2, height / 2]);
    set("shift", sample ? [(sample * GOLDEN) % 1 - 0.5, (sample * GOLDEN * GOLDEN) % 1 - 0.5] : [0, 0]);
    uniforms.stride.value = isCoarse ? COARSE : FINE;
    uniforms.phase.value = (sample * GOLDEN) % 1;
    uniforms.reach.value = reach / unit;
    uniforms.isSky.value = isSky ? 1 : 0;
    uniforms.isLit.value = isLit ? 1 : 0;
    uniforms.gain.value = gain;
    uniforms.thickness.value = Math.max(6, depth * 0.4);
    uniforms.channel.value = CHANNELS.indexOf(channel);
    this.march.material.blendAlpha = 1 / (sample + 1);
    const from = Math.round(left * width), to = Math.round(right * width);
    if (to <= from) return;
    this.picture.scissor.set(from, 0, to - from, height);
    this.renderer.setRenderTarget(this.picture);
    this.renderer.render(this.marching, this.camera);
  }

  #lay(pose, reach) {
    this.renderer.setRenderTarget(null);
    this.renderer.render(this.showing, this.camera);
    this.aim(pose);
    const { uniforms } = this.lines.mesh.material;
    uniforms.size.value.set(this.width, this.height);
    uniforms.reach.value = reach;
    uniforms.width.value = 1.1 * this.pixelRatio;
    this.renderer.render(this.overlay, this.camera);
  }

  dispose() {
    this.lines.dispose();
    for (const mesh of [this.march, this.show]) { mesh.geometry.dispose(); mesh.material.dispose(); }
    this.picture.dispose();
    super.dispose();
  }
}

function screenMesh(fragmentShader, uniforms, options) {
  const geometry = new BufferGeometry().setAttribute("position", new BufferAttribute(new Float32Array([-1, -1, 0, 3, -1, 0, -1, 3, 0]), 3));
  const material = new RawShaderMaterial({ glslVersion: GLSL3, vertexShader: SCREEN, fragmentShader, uniforms, depthTest: false, depthWrite: false, ...options });
  const mesh = new Mesh(geometry, material);
  mesh.frustumCulled = false;
  return mesh;
}

/** From the eye to the furthest corner of the grid. */
function farthest(eye, [depth, height, width]) {
  return Math.hypot(...[width, height, depth].map((side, i) => Math.max(Math.abs(eye[i]), Math.abs(side - eye[i]))));
}
