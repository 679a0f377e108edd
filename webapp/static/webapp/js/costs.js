// What k samples of a problem cost, on each axis of a figure.

const TITLES = { k: "samples per problem", flops: "FLOPs per problem", dollars: "US$ per problem" };
const si = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
const PREFIXES = [[1e24, "Y"], [1e21, "Z"], [1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** The name of a cost axis in the page's data. */
export const lineName = (view) => (view.axis === "gpu" ? "gpu" : `${view.axis}_${view.prompt}`);

/** x values of a run's curve; null when its cost on this axis is not known. `run.cost.<axis>`: [fixed, per sample]. */
export function costOf(run, view) {
  if (view.axis === "k") return run.curve.k;
  const line = run.cost?.[lineName(view)];
  return line ? run.curve.k.map((k) => line[0] + line[1] * k) : null;
}

/** `view.time` says whether GPUs or CPUs worked: "GPU time" becomes "GPU seconds per problem". */
const timeTitle = ({ time }) => `${time.replace(/ time$/, "")} seconds per problem`;

export function axisText(view) {
  if (view.axis === "gpu") return timeTitle(view);
  const charged = ["flops", "dollars"].includes(view.axis) ? `, prompt charged ${view.prompt === "once" ? "once" : "per request"}` : "";
  return TITLES[view.axis] + charged;
}

export function amount(value, axis) {
  if (axis === "k") return si.format(value);
  if (axis === "dollars") return `$${plain(value)}`;
  if (axis === "gpu") return seconds(value);
  const [size, letter] = PREFIXES.find(([limit]) => value >= limit) || [1, ""];
  return `${si.format(value / size)} ${letter}`.trim();
}

function seconds(value) {
  if (value < 0.1) return `${si.format(value * 1000)} ms`;
  if (value < 100) return `${si.format(value)} s`;
  return value < 6000 ? `${si.format(value / 60)} min` : `${si.format(value / 3600)} h`;
}

/** Small prices keep their leading zeros, and never read as 1e-7. */
function plain(value) {
  if (value >= 1000) return si.format(value);
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 12 });
}
