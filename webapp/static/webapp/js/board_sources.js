// What keeps the tiles of a board live: one connection for each experiment, however many of its tiles there are. On a
// frozen copy the same numbers come from the copy.

import { fetchJson } from "./dom.js";
import { paced } from "./paced.js";
import { LiveConnection } from "./socket.js";

const AGAIN = 5_000; // ms until a state that could not be had is asked for again
const REFRESH = 8_000; // ms between two looks at a running comparison

/** `onSign(signs)` is called with the signs of all connections when one changes. */
export class Sources {
  constructor({ keptUrl, follows, onSign }) {
    this.onSign = onSign;
    this.states = new Map();
    this.comparisons = new Map();
    this.kept = keptUrl ? fetchJson(keptUrl) : null;
    if (follows) setInterval(() => this.refresh(keptUrl), REFRESH);
  }

  /** Of a page without sockets: a board behind a share link. */
  async refresh(keptUrl) {
    if (document.hidden) return;
    const kept = await fetchJson(keptUrl).catch(() => null); // offline: the next try may do
    if (!kept) return;
    this.kept = Promise.resolve(kept);
    for (const [experiment, source] of this.states) if (kept.states[experiment]) source.set(kept.states[experiment]);
    for (const [tile, source] of this.comparisons) if (kept.series[tile]) source.set(kept.series[tile]);
  }

  /** The `live` that a kind's tile gets: see webapp/experiments/kind_tiles.py. */
  of(tile) {
    const { experiment, live, socket, data, name, colour } = tile.dataset;
    const common = { tile: name, view: tile.view, colour: Number(colour) };
    if (tile.dataset.type === "comparison") return { ...common, ...this.comparison(tile) };
    const source = this.state(experiment, live, socket);
    const load = (part) => (this.kept ? this.kept.then((kept) => kept.data[experiment][part]) : fetchJson(data.replace("NAME", part)));
    return { ...common, onState: (view) => source.onState(view), data: load };
  }

  state(experiment, liveUrl, socketPath) {
    if (!this.states.has(experiment)) this.states.set(experiment, this.open(experiment, liveUrl, socketPath));
    return this.states.get(experiment);
  }

  open(experiment, liveUrl, socketPath) {
    const views = [];
    const source = { current: null, sign: "connecting", onState(view) { views.push(view); if (source.current) view(source.current); } };
    const draw = paced(() => { for (const view of views) view(source.current); });
    const set = (state) => { source.current = state; draw(); };
    source.set = set;
    const tell = (sign) => { source.sign = sign; this.onSign([...this.states.values()].map((each) => each.sign)); };
    const start = async () => {
      if (this.kept) { set((await this.kept).states[experiment]); return; }
      try {
        const state = await fetchJson(liveUrl);
        set(state);
        new LiveConnection({ state, liveUrl, socketPath, onState: set, onSign: ({ sign }) => tell(sign) }).start();
      } catch {
        tell("reconnecting");
        setTimeout(start, AGAIN);
      }
    };
    start();
    return source;
  }

  comparison(tile) {
    const views = [];
    const source = { series: JSON.parse(tile.querySelector("[data-series] script").textContent), onSeries: (redraw) => views.push(redraw) };
    source.set = (series) => { source.series = series; for (const redraw of views) redraw(); };
    this.comparisons.set(tile.dataset.tile, source);
    const url = tile.dataset.seriesUrl; // empty when everything has ended, and on a frozen copy
    const timer = url ? setInterval(refresh, REFRESH) : 0;
    async function refresh() {
      if (document.hidden) return;
      const answer = await fetch(url, { headers: { "X-Part": "series" } }).catch(() => null);
      if (!answer?.ok || answer.redirected) return;
      source.set(await answer.json());
      if (!source.series.runs.some(({ status }) => ["queued", "running"].includes(status))) clearInterval(timer);
    }
    return source;
  }
}
