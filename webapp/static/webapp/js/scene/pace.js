// How fine to draw: coarse enough to follow the hand while something moves, and all there is, averaged, once it rests.

const TARGET = 1000 / 30; // ms a frame while moving
const REST = 140; // ms without movement
const SLOW_FRAME = 450; // ms that one fine frame may take

export class Pace {
  constructor() {
    this.share = 0.6; // of the canvas's pixels a side, while moving
    this.cost = 0; // ms for a million pixels, smoothed
    this.movedAt = -Infinity;
    this.isWarm = false;
  }

  moved(now) { this.movedAt = now; }

  isMoving(now) { return now - this.movedAt < REST; }

  /** A frame of `pixels` took `ms`. */
  took(ms, pixels, isCoarse) {
    if (!this.isWarm) { this.isWarm = true; return; } // most of the first frame is the compiler's
    const cost = (Math.min(ms, 1500) * 1e6) / pixels;
    this.cost = this.cost ? this.cost + (cost - this.cost) * 0.3 : cost;
    if (!isCoarse) return;
    if (ms > TARGET * 1.25) this.share = Math.max(0.3, this.share * 0.88);
    else if (ms < TARGET * 0.8) this.share = Math.min(1, this.share * 1.06);
  }

  /** How much smaller the canvas itself is while something moves: without a graphics card, filling it costs too. */
  get shrink() { return this.cost > 100 ? 0.5 : 1; }

  /** Share of the canvas's pixels a side for a fine frame: all, unless that would hold up the page. */
  fineShare(pixels) {
    const expected = (this.cost * pixels) / 1e6;
    return expected > SLOW_FRAME ? Math.max(0.3, Math.sqrt(SLOW_FRAME / expected)) : 1;
  }

  /** Frames that are averaged at rest. */
  get samples() { return this.cost > 800 ? 1 : this.cost > 120 ? 3 : this.cost > 40 ? 6 : 12; }
}
