// What the figures of a detection experiment read from its live state. Pure: no page, no network.
// A run is one training with one seed; a method is all runs that differ by their seeds alone.

export const METRICS = { ap75: "AP75", ap50: "AP50", ap: "AP" };
const SMOOTH = 0.6; // of the mean so far, in each epoch's smoothed value

/** Mean and sample standard deviation; nothing measured gives null. */
export function spread(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return null;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: known.length > 1 ? Math.sqrt(squares / (known.length - 1)) : null, n: known.length };
}

/** One line per method that has scores: {method, points: [{angle, mean, sd, n}]}, in the methods' order. */
export function scoreLines(methods, scores, metric) {
  const rows = new Map(scores.map((row) => [`${row.run} ${row.angle}`, row[metric]]));
  const angles = [...new Set(scores.map(({ angle }) => angle))].sort((a, b) => a - b);
  return methods.map((method) => ({
    method,
    points: angles.flatMap((angle) => {
      const found = spread(method.runs.map((run) => rows.get(`${run} ${angle}`)));
      return found ? [{ angle, ...found }] : [];
    }),
  })).filter(({ points }) => points.length);
}

export const at = (line, angle) => line.points.find((point) => point.angle === angle);

/** From the first test angle to the last; null before both are there. */
export function lost(line) {
  const { points } = line;
  return points.length > 1 ? points[0].mean - points.at(-1).mean : null;
}

/** The line that keeps most at an angle, by default the largest that all have; ceilings are left out. */
export function leader(lines, angle = null) {
  const chosen = lines.filter(({ method }) => !method.ceiling);
  const place = angle ?? Math.min(...chosen.map(({ points }) => points.at(-1).angle));
  return chosen.reduce((best, line) => (best && (at(best, place)?.mean ?? 0) >= (at(line, place)?.mean ?? 0) ? best : line), null);
}

/** Exponential mean of a series, without the bias of its start. Nulls stay nulls. */
export function smoothed(values) {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    sum = SMOOTH * sum + (1 - SMOOTH) * value;
    weight = SMOOTH * weight + (1 - SMOOTH);
    return sum / weight;
  });
}

export const points = (share) => (100 * share).toFixed(1); // average precisions are written as COCO does: 41.7

/** A difference in points with its sign: a minus is a minus sign. */
export const signed = (share) => (Math.abs(share) < 0.0005 ? "0.0" : `${share < 0 ? "−" : "+"}${points(Math.abs(share))}`);

/** A rule's name within a sentence. */
export const lower = (title) => (/^[A-Z][a-z]+\b/.test(title) ? title[0].toLowerCase() + title.slice(1) : title);
