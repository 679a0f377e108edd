// Drawing at a pace that eyes can follow, whatever the pace of the news.

const FRAME = 100; // ms between two drawings at least: 10 a second

/** Returns schedule(): `draw` runs soon, at most ten times a second and never while the page is hidden. */
export function paced(draw) {
  let dirty = false;
  let last = 0;
  const run = () => {
    if (document.hidden) return; // stays dirty; drawn when the page is seen again
    dirty = false;
    last = performance.now();
    draw();
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && dirty) requestAnimationFrame(run); });
  return () => {
    if (dirty) return;
    dirty = true;
    const wait = Math.max(0, FRAME - (performance.now() - last));
    if (wait) setTimeout(() => requestAnimationFrame(run), wait);
    else requestAnimationFrame(run);
  };
}
