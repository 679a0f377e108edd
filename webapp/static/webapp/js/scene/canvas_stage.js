// A canvas with WebGL 2 and a camera that follows a pose.

import { LinearSRGBColorSpace, PerspectiveCamera, Vector2, WebGLRenderer } from "three";
import { along } from "./vectors.js";

export class CanvasStage {
  averages = false; // whether frames at rest are averaged

  constructor(canvas, options) {
    this.renderer = new WebGLRenderer({ canvas, powerPreference: "high-performance", ...options });
    this.renderer.outputColorSpace = LinearSRGBColorSpace; // colours pass as they are
    this.renderer.autoClear = false;
    this.camera = new PerspectiveCamera(60, 1, 0.05, 4000);
    this.camera.up.set(0, 0, 1);
  }

  /** In pixels of the screen. */
  resize(width, height) {
    const size = this.renderer.getDrawingBufferSize(new Vector2());
    if (size.x !== width || size.y !== height) this.renderer.setSize(width, height, false);
    this.width = width;
    this.height = height;
  }

  get pixelRatio() { return Math.max(0.6, this.width / (this.renderer.domElement.clientWidth || this.width)); }

  aim(pose) {
    this.camera.fov = pose.fov;
    this.camera.aspect = this.width / this.height;
    this.camera.position.set(...pose.eye);
    this.camera.lookAt(...along(pose.eye, pose.forward, 1));
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld();
  }

  /** Waits for the card, so that a frame can be timed. */
  finish() {
    const gl = this.renderer.getContext();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  dispose() {
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}
