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
    artifacts: mergeRows((row) => row.code, state.artifacts, delta.artifacts),
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

function mergeRows(nameOf, old, fresh) {
  const rows = new Map(old.map((row) => [nameOf(row), row]));
  for (const row of fresh) rows.set(nameOf(row), row);
  return [...rows.values()];
}

// Lists of a kind's part that hold only the rows that changed, and what names a row in them.
const ROWS = {
  problems: (row) => row[0],
  runs: (row) => row.index ?? row.stage,
  epochs: (row) => `${row.run} ${row.epoch}`,
  scores: (row) => (row.metric ? `${row.subject} ${row.metric}` : `${row.run} ${row.angle}`),
  quality: (row) => `${row.rule} ${row.angle}`,
  tries: (row) => row.code,
  losses: (row) => `${row.stage} ${row.step}`,
  views: (row) => row.index,
  scenes: (row) => row.number,
};

/** Everything in a kind's part is absolute; null stands for what is as it was. */
function mergeKind(old, fresh) {
  const merged = { ...old };
  for (const [name, value] of Object.entries(fresh)) {
    if (ROWS[name]) merged[name] = mergeRows(ROWS[name], old[name] || [], value);
    else if (value !== null) merged[name] = value;
  }
  if (fresh.problems) merged.problems.sort((a, b) => a[0] - b[0]);
  return merged;
}

export const ENDED = ["finished", "failed", "cancelled"];
export const hasEnded = (state) => ENDED.includes(state.status);
