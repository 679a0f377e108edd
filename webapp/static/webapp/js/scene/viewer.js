// What both 3D elements share: poster first, a canvas with keyboard and touch, frames only when something changed, and a
// WebGL context that is given back when out of sight.

import { element, setHidden, setText, token } from "../dom.js";
import { admit, forget, hasWebGL2 } from "./contexts.js";
import { Controls } from "./controls.js";
import { Pace } from "./pace.js";
import { NotYet, SceneError } from "./manifest.js";
import { bar, button, isStill, panel, press, saveFile, throttled } from "./parts.js";
import { between, Pose } from "./pose.js";

const MOST_PIXELS = 2.4e6;
const GLIDE = 480; // ms
const TIP = 1600; // ms
let elements = 0;

export class Viewer extends HTMLElement {
  pose = new Pose();
  pace = new Pace();
  stage = null;
  isSeen = false;
  seenAt = 0;
  #frameAsked = 0;
  #lastFrame = 0;
  #glide = null;
  #start = null;
  #isStale = true;
  #wasCoarse = true;
  #fine = null;
  #tellCamera = throttled(() => this.dispatchEvent(new CustomEvent("camerachange", { bubbles: true, detail: { view: this.view } })), 500); // browsers refuse more than about three changes of the address a second

  /** Subclasses give: load(signal), which fetches; makeStage(canvas); stock(), which puts what was fetched on it; home(), a pose; draw(how). */
  connectedCallback() {
    if (!this.surface) this.#build();
    this.controls = new Controls(this.surface, this.pose, { onMove: () => this.#byHand(), onIdleWheel: () => this.#tip() });
    this.controls.mode = this.firstMode ?? "orbit";
    this.#showMode();
    this.sight = new IntersectionObserver(([entry]) => this.#see(entry.isIntersecting), { rootMargin: "120px" });
    this.sight.observe(this);
    this.sizes = new ResizeObserver(() => this.invalidate());
    this.sizes.observe(this);
  }

  disconnectedCallback() {
    this.#start?.abort();
    this.#start = null;
    this.sight.disconnect();
    this.sizes.disconnect();
    this.controls.dispose();
    cancelAnimationFrame(this.#frameAsked);
    this.#frameAsked = 0;
    this.release();
  }

  get title3d() { return this.getAttribute("label") || "Scene"; }
  get mode() { return this.controls?.mode ?? this.firstMode ?? "orbit"; }

  #showMode() { press((one) => one === (this.mode === "orbit" ? this.orbitButton : this.flyButton), this.orbitButton, this.flyButton); }

  #build() {
    const id = `scene-help-${++elements}`;
    this.poster = this.querySelector("img.scene-poster") ?? element("img.scene-poster", { alt: `${this.title3d}, a picture`, hidden: true });
    const poster = this.getAttribute("poster");
    if (poster && !this.poster.getAttribute("src")) this.#showPoster(poster);
    this.surface = element("div.scene-surface", { tabindex: 0, role: "application", "aria-label": `${this.title3d}, in 3D`, "aria-roledescription": "3D scene", "aria-describedby": id });
    this.wait = element("div.scene-wait", { hidden: true });
    this.tip = element("p.scene-tip", { "aria-hidden": "true", hidden: true }, "Click the scene, then the wheel zooms");
    this.said = element("p.sr-only", { role: "status" });
    this.orbitButton = button("Orbit", "rotate", () => this.setMode("orbit"), { text: true, pressed: true });
    this.flyButton = button("Fly", "fly", () => this.setMode("fly"), { text: true, pressed: false });
    this.top = element("div.scene-top", {}, bar("modes", "Movement", this.orbitButton, this.flyButton));
    this.help = panel("Keys", () => this.toggle(this.help), this.#keys());
    this.tools = bar("tr", "Tools", this.opener("Keys and help", "help", this.help), button("Reset view", "home", () => this.glideTo(this.home())),
      button("Full screen", "expand", () => this.#fullScreen()));
    this.facts = element("div.viewer-bar.bl");
    this.corner = bar("br", "Picture", button("Save picture", "camera", () => this.savePicture()));
    this.panels = [this.help];
    this.hint = element("p.sr-only", { id }, "Arrow keys turn, W A S D move, Q and E go down and up, plus and minus zoom, Shift is faster, question mark shows all keys.");
    this.poster.addEventListener("error", () => { this.poster.hidden = true; });
    this.hud = element("div.scene-hud", {}, this.top, this.tools, this.facts, this.corner, this.help);
    this.append(this.poster, this.surface, this.hud, this.tip, this.wait, this.said, this.hint);
    this.surface.addEventListener("keydown", (event) => this.#shortcut(event));
    document.addEventListener("fullscreenchange", () => this.invalidate());
    this.outfit?.();
  }

  relabel() { this.surface.setAttribute("aria-label", `${this.title3d}, in 3D`); }

  opener(label, name, card) {
    return button(label, name, () => this.toggle(card), { attributes: { "aria-expanded": "false", "data-opens": card.getAttribute("aria-label") } });
  }

  #keys() {
    const rows = [["Drag, ← ↑ → ↓", "turn"], ["W A S D", "move"], ["Q E", "down, up"], ["Wheel, + −", "zoom"], ["Right drag", "shift the view"], ["Shift", "faster"], ["O  F", "orbit, fly"], ["R", "reset the view"], ...(this.moreKeys ?? []), ["?", "this list"]];
    return element("dl.scene-keys", {}, ...rows.flatMap(([key, what]) => [element("dt", {}, ...key.split(", ").flatMap((one, i) => [i ? ", " : null, element("kbd", {}, one)])), element("dd", {}, what)]));
  }

  /** Letters that act while the scene has the focus. Subclasses add to `shortcuts`. */
  #shortcut(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { o: () => this.setMode("orbit"), f: () => this.setMode("fly"), r: () => this.glideTo(this.home()), "?": () => this.toggle(this.help), ...this.shortcuts }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  setMode(mode) {
    this.controls.mode = mode;
    this.firstMode = mode; // kept over a move in the page
    this.#showMode();
    this.say(mode === "orbit" ? "Orbit: the scene turns." : "Fly: you move through the scene.");
    this.moved();
  }

  /** Show one panel and hide the others, or hide it. */
  toggle(which) {
    const opens = which.hidden;
    for (const one of this.panels) setHidden(one, one !== which || !opens);
    let opener = this.surface;
    for (const one of this.tools.querySelectorAll("[data-opens]")) {
      const isIts = one.dataset.opens === which.getAttribute("aria-label");
      one.setAttribute("aria-expanded", String(isIts && opens));
      if (isIts) opener = one;
    }
    (opens ? which.querySelector("button, input") : opener)?.focus({ preventScroll: true });
  }

  say(sentence) { setText(this.said, sentence); }

  // ---- loading and giving back ----

  #see(isSeen) {
    this.isSeen = isSeen;
    this.seenAt = performance.now();
    if (!isSeen) return;
    if (this.hasAttribute("on-demand") || navigator.connection?.saveData) this.#offer();
    else this.open();
  }

  #offer() {
    if (this.stage || this.#start) return;
    this.#report("poster", button("Open in 3D", "cube", () => { this.removeAttribute("on-demand"); this.open(); }, { text: true, small: false }));
  }

  /** Load what is not loaded yet, and draw. */
  async open() {
    if (this.stage || this.#start) return;
    if (!hasWebGL2()) {
      if (!this.poster.getAttribute("src")) this.findPoster?.().then((url) => { if (url) this.#showPoster(url); }).catch(() => {});
      this.#report("unsupported", element("p", {}, "This browser cannot draw 3D scenes: WebGL 2 is missing or switched off. The picture shows the scene; downloads work as before."));
      return;
    }
    const start = new AbortController();
    this.#start = start;
    try {
      await this.load(start.signal);
      if (start.signal.aborted) return;
      this.#takeStage();
      this.stock();
      this.#report("ready");
      this.invalidate();
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    } finally {
      if (this.#start === start) this.#start = null;
    }
  }

  /** Load from the start, whatever was being loaded. */
  restart() {
    this.#start?.abort();
    this.#start = null;
    return this.open();
  }

  /** Was asked to load: it is no poster that waits to be seen. */
  get isWanted() { return Boolean(this.#start) || !["poster", undefined].includes(this.dataset.state); }

  /** A sentence in place of the scene. */
  fail(error) {
    if (this.stage) this.#drop();
    this.surface.replaceChildren();
    if (error instanceof NotYet) this.#report("waiting", element("p", {}, error.message));
    else this.#report("failed", element("p", { role: "alert" }, error instanceof SceneError ? error.message : `The scene could not be shown: ${error.message}`), button("Try again", "rotate", () => this.open(), { text: true }));
  }

  #takeStage() {
    admit(this);
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.stage = this.makeStage(this.canvas);
    this.pace.isWarm = false;
    this.surface.replaceChildren(this.canvas);
    this.canvas.addEventListener("webglcontextlost", (event) => {
      if (!this.stage) return; // we let go of it ourselves
      event.preventDefault();
      this.#drop();
      this.#report("lost", element("p", { role: "alert" }, "The browser took the graphics card away from this scene."), button("Draw again", "rotate", () => this.open(), { text: true }));
    });
  }

  /** Give the WebGL context back; the last picture stays. */
  release() {
    if (!this.stage) { forget(this); return; }
    if (this.isConnected) {
      this.draw({ share: 1, isCoarse: true, sample: 0 });
      this.canvas.toBlob((blob) => { if (blob && !this.stage) this.#showPoster(URL.createObjectURL(blob)); }, "image/jpeg", 0.9);
    }
    this.#drop();
    this.dataset.state = "poster";
  }

  #drop() {
    const { stage } = this;
    this.stage = null;
    this.unstock?.();
    stage.dispose();
    forget(this);
  }

  #showPoster(url) {
    this.poster.src = url;
    this.poster.hidden = false;
  }

  /** What stands over the poster: nothing, progress, or a sentence with a way on. */
  #report(state, ...children) {
    this.dataset.state = state;
    this.wait.replaceChildren(...children);
    setHidden(this.wait, children.length === 0);
  }

  /** `share` of 0 to 1 of what is being fetched. */
  progress(share, what = "Loading the scene") {
    if (this.dataset.state !== "loading") {
      this.meter = element("progress", { max: 1, "aria-label": what });
      this.#report("loading", element("span", {}, what), this.meter);
      this.say(`${what}.`);
    }
    this.meter.value = share;
  }

  // ---- frames ----

  #tip() {
    if (!this.stage) return;
    this.tip.hidden = false;
    clearTimeout(this.tipTimer);
    this.tipTimer = setTimeout(() => { this.tip.hidden = true; }, TIP);
  }

  #byHand() {
    this.tip.hidden = true;
    this.#glide = null;
    this.onHand?.();
    this.moved();
  }

  /** The pose changed. */
  moved() {
    this.pace.moved(performance.now());
    this.#tellCamera();
    this.invalidate();
  }

  glideTo(pose) {
    if (isStill() || !this.stage) {
      this.pose.copy(pose);
      this.#glide = null;
    } else this.#glide = { from: this.pose.clone(), to: pose, since: performance.now() };
    this.moved();
  }

  /** What is shown changed. */
  invalidate() {
    this.#isStale = true;
    this.removeAttribute("still");
    this.#ask();
  }

  #ask() {
    if (!this.#frameAsked && this.stage) this.#frameAsked = requestAnimationFrame((now) => this.#frame(now));
  }

  #frame(now) {
    this.#frameAsked = 0;
    if (!this.stage) return;
    const seconds = Math.min(0.1, (now - this.#lastFrame) / 1000);
    this.#lastFrame = now;
    if ([this.controls.step(seconds), this.#stepGlide(now), this.advance?.(now) ?? false].some(Boolean)) this.moved();
    const isCoarse = this.pace.isMoving(performance.now()) || !this.pace.cost; // the first frame says how slow this machine is
    if (isCoarse && !this.#isStale && this.pace.cost) { this.#ask(); return; } // the hand may go on
    const shrink = isCoarse ? this.pace.shrink : 1;
    const pixels = this.#fit(shrink);
    if (!pixels) return;
    if (isCoarse) this.#drawTimed({ share: Math.min(1, this.pace.share / shrink), isCoarse, sample: 0 }, pixels);
    else {
      if (this.#isStale || this.#wasCoarse) this.#fine = { share: this.pace.fineShare(pixels), drawn: 0 };
      this.#drawTimed({ share: this.#fine.share, isCoarse, sample: this.#fine.drawn++ }, pixels);
    }
    this.#wasCoarse = isCoarse;
    this.#isStale = false;
    if (isCoarse || (this.stage.averages && this.#fine.drawn < this.pace.samples)) this.#ask();
    else this.setAttribute("still", "");
  }

  #drawTimed(how, pixels) {
    const began = performance.now();
    this.draw(how);
    this.stage.finish();
    this.pace.took(performance.now() - began, pixels * how.share * how.share, how.isCoarse);
  }

  #stepGlide(now) {
    if (!this.#glide) return false;
    const { from, to, since } = this.#glide;
    const share = Math.min(1, (now - since) / GLIDE);
    this.pose.copy(between(from, to, share * share * (3 - 2 * share)));
    if (share >= 1) this.#glide = null;
    return true;
  }

  /** Make the canvas as large as its place, or smaller; its pixels. */
  #fit(shrink) {
    const { clientWidth: width, clientHeight: height } = this.surface;
    const ratio = Math.min(devicePixelRatio || 1, 2, Math.sqrt(MOST_PIXELS / Math.max(1, width * height)));
    if (!width || !height) return 0;
    this.stage.resize(Math.round(width * ratio * shrink), Math.round(height * ratio * shrink));
    return this.stage.width * this.stage.height;
  }

  get aspect() { return this.surface.clientWidth / this.surface.clientHeight || 16 / 9; }

  savePicture() {
    if (!this.stage || !this.#fit(1)) return;
    this.draw({ share: 1, isCoarse: false, sample: 0 });
    this.canvas.toBlob((blob) => saveFile(blob, `${this.title3d.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.png`), "image/png");
    this.say("Picture saved.");
    this.invalidate();
  }

  #fullScreen() {
    if (document.fullscreenElement === this) document.exitFullscreen();
    else this.requestFullscreen?.().catch(() => this.say("Full screen is not available."));
  }

  /** A colour token as three numbers of 0 to 1. */
  rgb(name) { return token(name, this).match(/[\d.]+/g).slice(0, 3).map((part) => part / 255); }
}
