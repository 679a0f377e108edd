// The tiles with the key figures of a sampling experiment.

import { element, setText, svg } from "./dom.js";
import { count, percent, short, span } from "./format.js";

const points = (share) => percent(share).replace("%", "");

function unsolvedText(kind, k, status) {
  const unsolved = kind.total_problems - k.solved;
  if (!unsolved) return "every problem solved";
  return status === "running" ? `${count(unsolved)} not solved so far` : `${count(unsolved)} never solved`;
}

function tokensText(k) {
  if (!k.tokens) return "";
  return k.prompt_tokens ? `${short(k.tokens)} tokens, ${short(k.prompt_tokens)} of prompts` : `${short(k.tokens)} tokens`;
}

/** Where problems stop when they are solved: what a solved one takes. */
function drawnText(k) {
  return k.first_success?.per_solved ? `${k.first_success.per_solved.toFixed(1)} a solved problem` : tokensText(k);
}

/** `box` holds the tiles; returns draw(state). */
export function mountKpis(box) {
  const tile = (name) => box.querySelector(`[data-kpi="${name}"]`);

  /** `note`: a text, or a text and its tone ("bad" never stands alone: the words say it too). */
  function fill(name, value, unit, note) {
    const box = tile(name);
    const target = box.querySelector(".kpi-value");
    const text = `${value}|${unit}`;
    if (target.dataset.text !== text) {
      target.dataset.text = text;
      target.replaceChildren(value, ...(unit ? [element("small", {}, unit)] : []));
    }
    setText(box.querySelector(".kpi-note"), note || "\u00a0");
  }

  function spark(name, values) {
    const drawing = tile(name).querySelector(".spark");
    if (values.length < 3) { drawing.replaceChildren(); return; }
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    const path = values.map((value, i) => `${((64 * i) / (values.length - 1)).toFixed(1)} ${(22 - (20 * (value - low)) / range).toFixed(1)}`).join("L");
    drawing.replaceChildren(svg("path", { class: "area", d: `M${path}L64 24L0 24Z` }), svg("path", { class: "line", d: `M${path}` }));
  }

  function draw({ kind, metrics, status }) {
    const k = kind.kpis;
    const graded = kind.curve.k.length > 0;
    setText(tile("coverage").querySelector("[data-k]"), count(graded ? k.coverage_at : kind.samples));
    if (graded) {
      fill("coverage", points(k.coverage), "%", `band ${span(k.lo, k.hi)}`);
      fill("pass1", points(k.pass1), "%", `band ${span(k.pass1_lo, k.pass1_hi)}`);
    }
    if (kind.graded) fill("solved", count(k.solved), `of ${count(kind.total_problems)}`, unsolvedText(kind, k, status));
    const rate = (metrics.series.tokens_per_second || []).map(([, value]) => value);
    if (k.tokens_per_second) fill("throughput", count(k.tokens_per_second), "tok/s", status === "running" ? "generated, all workers" : "when it was generating");
    fill("drawn", short(kind.drawn), `${kind.stops ? "of at most" : "of"} ${short(kind.planned)}`, drawnText(k));
    if (k.mean_tokens) fill("length", k.mean_tokens.toFixed(k.mean_tokens < 10 ? 1 : 0), "tokens", "per answer");
    spark("coverage", kind.curve.coverage);
    spark("throughput", rate);
  }

  return draw;
}
