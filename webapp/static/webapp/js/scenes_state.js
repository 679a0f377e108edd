// What the figures of a scene experiment read from its live state. Pure: no page, no network.

export const STAGES = { autoencoder: "Scene auto-encoder", latents: "Latent auto-encoder", diffusion: "Diffusion" };
const PARTS = {
  image: "Picture", perceptual: "Perceptual", depth: "Depth", opacity: "Where rays end", density: "Density", voxel: "Voxels", kl: "KL of g", commitment: "Commitment",
  g: "Global (g)", c: "Coarse (c)", f: "Fine (f)",
};
export const SUBJECTS = { samples: "Scenes", latents: "Through the latents", autoencoder: "Auto-encoder", nearest: "Nearest picture", real: "Real against real" };

export const partTitle = (name) => PARTS[name] || `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;

/** The losses of a stage: [{name, steps, values}], the largest first; before them their sum, called "all". */
export function lossLines(losses, stage) {
  const rows = losses.filter((row) => row.stage === stage).sort((a, b) => a.step - b.step);
  const names = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))].filter((name) => name !== "loss");
  const line = (name, read) => ({ name, steps: rows.map(({ step }) => step), values: rows.map(({ values }) => read(values) ?? null) });
  const parts = names.map((name) => line(name, (values) => values[name])).sort((a, b) => lastOf(b.values) - lastOf(a.values));
  if (parts.length < 2) return parts;
  return [line("all", (values) => values.loss ?? Object.values(values).reduce((sum, value) => sum + value, 0)), ...parts];
}

/** Exponential mean of a series without the bias of its start: the loss of a step is mostly chance. Nulls stay nulls. */
export function running(values, keep = 0.9) {
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

const lastOf = (values) => values.findLast((value) => value !== null) ?? 0;

/** The stage that is trained now, else the last one that has losses. */
export function currentStage({ runs, losses }) {
  const open = runs.find(({ stopped, progress }) => !stopped && progress.step);
  const told = Object.keys(STAGES).filter((stage) => losses.some((row) => row.stage === stage));
  return open?.stage || told.at(-1) || "";
}

/** The evaluation as a table: [{metric, title, unit, better, note, cells: {subject: {value, count}}}], in the order told. */
export function scoreTable(scores) {
  const rows = new Map();
  for (const { subject, metric, value, details } of scores) {
    const row = rows.get(metric) || { metric, title: details.title || metric, unit: details.unit || "", better: details.better || "", note: "", cells: {} };
    row.note ||= details.note || "";
    row.cells[subject] = { value, count: details.count ?? null };
    rows.set(metric, row);
  }
  return [...rows.values()];
}

/** A score as the pages write it: three digits that count, a minus that is one. */
export function score(value, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size >= 100 ? size.toFixed(0) : size >= 10 ? size.toFixed(1) : size >= 1 ? size.toFixed(2) : String(Number(size.toFixed(4)));
  return `${value < 0 ? "−" : ""}${text}${unit ? ` ${unit}` : ""}`;
}

export const drawn = (scenes) => scenes.filter(({ state }) => state === "drawn");

/** The scene to look at: one that is being drawn and has something to show, else the newest that is drawn. */
export function newest(scenes) {
  const forming = scenes.filter(({ state, previews }) => state === "drawing" && previews.length);
  return forming.at(-1) || drawn(scenes).at(-1) || null;
}

/** The distance that leads the figures: of the scenes' pictures to real ones. */
export function leading(scores) {
  const table = scoreTable(scores).filter(({ cells }) => cells.samples && cells.samples.value !== null);
  return ["fid", "kid", "fd"].map((name) => table.find(({ metric }) => metric === name)).find(Boolean) || null;
}

export const scoreOf = (scores, subject, metric) => scores.find((row) => row.subject === subject && row.metric === metric)?.value ?? null;

export const mean = (values) => { const known = values.filter(Number.isFinite); return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null; };
