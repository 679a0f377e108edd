// What the tiles of several kinds share.

/** A row of key figures, or one of them where the tile is called kpi-<name>. `mount(box)` returns draw(state). */
export function kpiTile(mount) {
  return (panel, live) => {
    const only = live.tile.startsWith("kpi-") ? live.tile.slice(4) : null;
    for (const kpi of panel.querySelectorAll("[data-kpi]")) kpi.hidden = only !== null && kpi.dataset.kpi !== only;
    live.onState(mount(panel));
  };
}

/** A figure whose data is computed on demand: asked for once, and once more when the experiment ends. */
export function computed(live, part, views) {
  let ended = null;
  live.onState((state) => {
    const now = Boolean(state.finished);
    if (now === ended) return;
    ended = now;
    live.data(part).then((data) => views.forEach((view) => view(data)), () => views.forEach((view) => view(null)));
  });
}
