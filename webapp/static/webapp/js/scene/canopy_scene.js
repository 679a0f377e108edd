// <canopy-scene src="manifest.json" [compare="other.json"] [poster] [label] [view] [on-demand] [box-editing]>
//
// Draws a scene's volume; docs/scene-viewer.md has the attributes, methods and events.

import { element, icon, setHidden } from "../dom.js";
import { BoxEditor } from "./box.js";
import { shape } from "./grid.js";
import { boxEdges, frustum, isAt, polyline } from "./lines.js";
import { NotYet, readManifest, readVolume } from "./manifest.js";
import { bar, button, press } from "./parts.js";
import { CameraPath } from "./path.js";
import { PathPanel } from "./path_panel.js";
import { fromCamera, overview } from "./pose.js";
import { CHANNELS } from "./shaders.js";
import { Split } from "./split.js";
import { StepStrip } from "./steps.js";
import { Viewer } from "./viewer.js";
import { viewPanel } from "./view_panel.js";
import { readView, writeView } from "./view_text.js";
import { Volume, VolumeStage } from "./volume_stage.js";

const KEPT = 24; // volumes of denoising steps kept in memory
const NAMES = { colour: "Colour", depth: "Depth", density: "Density", normals: "Normals" };

class CanopyScene extends Viewer {
  static observedAttributes = ["src", "compare", "view", "label", "box-editing"];

  channel = "colour";
  cuts = { x: { at: 1, flip: false }, y: { at: 1, flip: false }, z: { at: 1, flip: false } };
  options = { roof: true, light: true, sky: true, cameras: false };
  gain = 1; // brightness of the colours
  path = new CameraPath();
  manifest = null;
  #main = null; // {bytes, grid, url, volume}
  #other = null;
  #kept = new Map();
  #source = null; // the src that the manifest came from
  #isPlaced = false; // the pose was set: by the address, or to the overview
  #fetching = null;

  outfit() {
    this.channelButtons = CHANNELS.map((channel) => button(NAMES[channel], null, () => this.setChannel(channel), { text: true, pressed: channel === "colour", attributes: { "data-channel": channel } }));
    this.viewPanel = viewPanel(this);
    this.pathPanel = new PathPanel(this);
    this.steps = new StepStrip((index) => this.#showStep(index));
    this.split = new Split(this);
    this.box = new BoxEditor(this);
    this.panels.push(this.viewPanel.card, this.pathPanel.card);
    this.tools.prepend(this.opener("View: cuts, sky, cameras", "layers", this.viewPanel.card), this.opener("Camera path", "path", this.pathPanel.card));
    this.top.append(bar("channels", "Channel", ...this.channelButtons));
    this.hud.append(this.steps.bar, this.viewPanel.card, this.pathPanel.card);
    this.surface.after(this.split.layer, this.box.layer);
    this.shortcuts = Object.fromEntries(CHANNELS.map((channel, i) => [String(i + 1), () => this.setChannel(channel)]));
    Object.assign(this.shortcuts, { c: () => this.#option("cameras"), k: () => this.pathPanel.addKey(), p: () => (this.pathPanel.isPlaying ? this.pathPanel.stop() : this.pathPanel.start()) });
    const wanted = readView(this.getAttribute("view"));
    if (wanted) this.#restore(wanted);
  }

  moreKeys = [["1, 2, 3, 4", "colour, depth, density, normals"], ["C", "show the cameras"], ["K, P", "add a path key, play the path"]];


  attributeChangedCallback(name, before, now) {
    if (before === now || !this.surface) return;
    if (name === "view") this.view = now;
    else if (name === "label") this.relabel();
    else if (name === "box-editing") this.box.show();
    else this.refresh();
  }

  // ---- data ----

  async load(signal) {
    if (this.manifest && this.#main) return;
    this.progress(0);
    await this.#fetchAll(signal);
  }

  /** Read the manifest again, and the volume if it is another one; the camera stays. */
  async refresh() {
    this.#fetching?.abort();
    const fetching = new AbortController();
    this.#fetching = fetching;
    if (!this.stage && !this.manifest) return this.isWanted ? this.restart() : undefined;
    try {
      await this.#fetchAll(fetching.signal);
      if (this.stage) this.stock();
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      if (this.getAttribute("src") === this.#source) this.say(error.message); // what stands there is still right
      else {
        this.#forget();
        this.poster.hidden = true;
        this.fail(error);
      }
    }
    return undefined;
  }

  async #fetchAll(signal) {
    const source = this.getAttribute("src"), compared = this.getAttribute("compare");
    const [manifest, other] = await Promise.all([readManifest(source, signal), compared ? readManifest(compared, signal) : null]);
    const { steps, volume } = manifest, isOther = source !== this.#source;
    const isDone = volume && !steps.some((step) => step.volume === volume); // while it forms, the volume is its newest step
    const labels = [...steps.map((step) => step.label), ...(isDone ? ["Done"] : [])];
    if (!volume && !steps.length) throw new NotYet("Nothing to see yet. The scene appears with its first denoising step.");
    this.steps.update(labels, isOther);
    const url = this.steps.isLast ? volume ?? steps.at(-1).volume : steps[this.steps.index].volume;
    const [main, second] = await Promise.all([this.#held(url, manifest.grid, signal, true), other?.volume ? this.#held(other.volume, other.grid, signal, false) : null]);
    const hasPath = !isOther && this.manifest.path.keys.length === manifest.path.keys.length;
    Object.assign(this, { manifest, compared: other });
    this.#source = source;
    this.#set("main", main);
    this.#set("other", second);
    if (!hasPath) { this.path = this.defaultPath(); this.pathPanel.update(); }
  }

  /** Hold no scene: the next one is read from the start. */
  #forget() {
    this.#set("main", null);
    this.#set("other", null);
    this.manifest = null;
    this.#source = null;
  }

  async #held(url, grid, signal, isMain) {
    if (!this.#kept.has(url)) {
      const onProgress = isMain && !this.stage ? (share) => this.progress(share) : undefined;
      this.#kept.set(url, { url, grid, bytes: await readVolume(url, grid, { signal, onProgress }) });
      if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    }
    return this.#kept.get(url);
  }

  #set(which, held) {
    const before = which === "main" ? this.#main : this.#other;
    if (before?.url === held?.url) return;
    before?.volume?.dispose();
    const entry = held && { ...held, volume: null };
    if (which === "main") this.#main = entry;
    else this.#other = entry;
  }

  async #showStep(index) {
    const step = this.manifest.steps[index];
    try {
      this.#set("main", await this.#held(step?.volume ?? this.manifest.volume, this.manifest.grid, undefined, false));
    } catch (error) { this.say(error.message); return; }
    if (this.stage) this.stock();
  }

  defaultPath() {
    const { path, cameras } = this.manifest;
    const fov = cameras.length ? fromCamera(cameras[0], { aspect: Math.max(1, this.aspect) }).fov : undefined;
    return new CameraPath({ seconds: path.seconds, keys: (path.keys.length ? path.keys : cameras).map(({ origin, forward }) => ({ origin, forward, fov })) });
  }

  /** The manifest's poster, where the page gave none and 3D cannot be drawn. */
  async findPoster() { return (await readManifest(this.getAttribute("src"))).poster; }

  // ---- drawing ----

  makeStage(canvas) {
    const stage = new VolumeStage(canvas);
    stage.setRamp([0, 1, 2, 3, 4, 5].map((stop) => this.rgb(`--seq-${stop}`)));
    return stage;
  }

  stock() {
    for (const held of [this.#main, this.#other]) if (held && !held.volume) held.volume = new Volume(held.bytes, held.grid);
    const { grid, cameras } = this.manifest;
    this.shape = shape(this.#main.bytes, grid, cameras);
    this.controls.extent = Math.max(...grid);
    if (!this.#isPlaced) { this.pose.copy(this.home()); this.#isPlaced = true; }
    this.viewPanel.update({ hasRoof: this.shape.roof < grid[0], cameraCount: cameras.length });
    if (this.#other) this.split.show(this.manifest.name, this.compared.name);
    else this.split.hide();
    this.#writeFacts();
    this.drawLines();
    this.box.show();
    this.invalidate();
  }

  unstock() {
    for (const held of [this.#main, this.#other]) {
      held?.volume?.dispose();
      if (held) held.volume = null;
    }
  }

  home() {
    if (!this.shape) return this.pose.clone();
    const { low, high, roof } = this.shape;
    return overview(low, [high[0], high[1], Math.min(high[2], roof)], this.aspect);
  }

  draw(how) {
    this.#layLines();
    const looks = [this.#look(this.#main, this.manifest, 0, this.#other ? this.split.share : 1)];
    if (this.#other) looks.push(this.#look(this.#other, this.compared, this.split.share, 1));
    const isLit = this.options.light && this.mode === "orbit"; // who flies sees the colours as they are
    const gain = this.gain * (isLit ? this.shape.exposure : 1);
    this.stage.draw({ pose: this.pose, looks, channel: this.channel, isSky: this.options.sky, gain, isLit, ...how });
    this.box.place();
  }

  #look({ volume }, { sky }, left, right) {
    const low = [0, 0, 0], high = [1, 1, 1];
    for (const [i, axis] of ["x", "y", "z"].entries()) {
      const { at, flip } = this.cuts[axis];
      if (at < 1) (flip ? low : high)[i] = at;
    }
    const { roof } = this.shape;
    if (this.options.roof && this.mode === "orbit" && this.pose.eye[2] > roof) high[2] = Math.min(high[2], roof / this.manifest.grid[0]);
    return { volume, low, high, sky, left, right };
  }

  drawLines() {
    this.linesFor = null;
    this.invalidate();
  }

  #layLines() {
    const { cameras, grid } = this.manifest;
    const size = Math.max(...grid) * 0.035;
    const drawn = this.options.cameras ? cameras : [], keys = this.pathPanel.card.hidden || this.pathPanel.isPlaying ? [] : this.path.keys;
    const here = [...drawn, ...keys].map((camera) => isAt(camera, this.pose, size));
    if (this.linesFor === String(here)) return;
    this.linesFor = String(here);
    const lines = [], blue = [...this.rgb("--chart-1"), 1], orange = [...this.rgb("--chart-2"), 0.9];
    for (const [i, camera] of [...drawn, ...keys].entries()) if (!here[i]) lines.push(...frustum(camera, size, i < drawn.length ? orange : blue));
    if (keys.length) lines.push(...polyline(this.path.points(), blue));
    if (this.box.isOn) lines.push(...boxEdges(...this.box.corners(), [...this.rgb("--accent"), 1]));
    this.stage.lines.set(lines);
  }

  /** Somebody took the controls. */
  onHand() { this.pathPanel.stop(); }

  advance(now) { return this.pathPanel.step(now); }

  // ---- what can be set ----

  setChannel(channel) {
    this.channel = channel;
    press((one) => one.dataset.channel === channel, ...this.channelButtons);
    this.say(`${NAMES[channel]}.`);
    this.changed();
  }

  /** Something of the view other than the pose changed. */
  changed() {
    this.dispatchEvent(new CustomEvent("camerachange", { bubbles: true, detail: { view: this.view } }));
    this.invalidate();
  }

  toggle(which) {
    super.toggle(which);
    this.drawLines();
  }

  #option(name) {
    this.options[name] = !this.options[name];
    this.drawLines();
  }

  get view() { return writeView({ pose: this.pose, mode: this.mode, channel: this.channel, cuts: this.cuts }); }

  set view(text) {
    const wanted = readView(text);
    if (!wanted || text === this.view) return;
    this.#restore(wanted);
    this.moved();
  }

  #restore({ pose, mode, channel, cuts }) {
    this.pose.copy(pose);
    this.#isPlaced = true;
    this.firstMode = mode;
    if (this.controls) this.setMode(mode);
    for (const [axis, cut] of Object.entries(this.cuts)) Object.assign(cut, { at: 1, flip: false }, cuts[axis]);
    this.channel = channel;
    press((one) => one.dataset.channel === channel, ...this.channelButtons);
  }

  /** Place the box of box-editing: {x0, y0, x1, y1} in shares of the grid. Tells nobody. */
  setBox(box) { this.box.set(box, false); }

  /** Stand where a camera of the manifest stands. */
  goToCamera(index) {
    const camera = this.manifest?.cameras[index];
    if (!camera) return;
    this.setMode("fly");
    this.glideTo(fromCamera(camera, { distance: this.controls.extent * 0.2, aspect: Math.max(1, this.aspect) }));
  }

  #writeFacts() {
    const { grid, voxelMetres } = this.manifest;
    const occupied = this.#main.volume.occupied;
    const count = occupied >= 1000 ? `${Math.round(occupied / 1000)}k` : String(occupied);
    const size = voxelMetres ? `${(grid[2] * voxelMetres).toFixed(0)} × ${(grid[1] * voxelMetres).toFixed(0)} × ${(grid[0] * voxelMetres).toFixed(0)} m` : null;
    this.facts.replaceChildren(element("span", {}, `${count} voxels`), element("span.hide-phone", {}, [...grid].reverse().join(" × ")), ...(size ? [element("span.hide-phone", {}, size)] : []));
    const [first] = this.manifest.downloads;
    this.corner.querySelector("a")?.remove();
    if (first) this.corner.append(element("a.btn.small.icon-only", { href: first.url, download: true, title: first.label, "aria-label": `Download ${first.label}` }, icon("download")));
    setHidden(this.facts, false);
  }
}

customElements.define("canopy-scene", CanopyScene);
