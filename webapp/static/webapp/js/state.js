// The page's copy of an experiment's live state, and how a delta changes it. Pure: no page, no network.

const KEPT_LOG = 1000; // lines

/**
 * Apply `delta` (what changed after sequence number delta.after) to `state`.
 * Returns the new state; null when deltas before this one are missing; the same state when it holds nothing new.
 */
export function merge(state, delta) {
  if (delta.after > state.seq) return null;
  if (delta.seq < state.seq) return state;
  return {
    ...state,
    ...delta,
    after: 0,
    log: [...state.log, ...delta.log.filter((line) => line.seq > state.seq)].slice(-KEPT_LOG),
    metrics: mergeMetrics(state.metrics, delta.metrics),
    artifacts: mergeBy("code", state.artifacts, delta.artifacts),
    kind: mergeKind(state.kind, delta.kind),
  };
}

/** Points are absolute and named by their start; a new width (of the span a point stands for) comes with all points. */
function mergeMetrics(old, fresh) {
  if (!fresh.width) return old;
  const series = fresh.width === old.width ? { ...old.series } : {};
  for (const [name, points] of Object.entries(fresh.series)) {
    const rows = new Map((series[name] || []).map((point) => [point[0], point]));
    for (const point of points) rows.set(point[0], point);
    series[name] = [...rows.values()].sort((a, b) => a[0] - b[0]);
  }
  return { width: fresh.width, series };
}

function mergeBy(key, old, fresh) {
  const rows = new Map(old.map((row) => [row[key], row]));
  for (const row of fresh) rows.set(row[key], row);
  return [...rows.values()];
}

/** Everything in a kind's part is absolute; "problems" holds only the rows that changed, by their index. */
function mergeKind(old, fresh) {
  if (!fresh.problems) return { ...old, ...fresh };
  const rows = new Map((old.problems || []).map((row) => [row[0], row]));
  for (const row of fresh.problems) rows.set(row[0], row);
  return { ...old, ...fresh, problems: [...rows.values()].sort((a, b) => a[0] - b[0]) };
}

export const ENDED = ["finished", "failed", "cancelled"];
export const hasEnded = (state) => ENDED.includes(state.status);
