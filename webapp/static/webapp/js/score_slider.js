// Boxes below a score are hidden while a slider moves; objects whose finder is hidden count as missed.

import { remember, setText } from "./dom.js";

const START = 0.5;

export function mountScore(part) {
  const slider = part.querySelector("[data-score-slider]");
  if (!slider) return;
  const show = () => {
    const least = Number(slider.value);
    setText(slider.parentElement.querySelector("output"), least.toFixed(2));
    slider.setAttribute("aria-valuetext", `score ${least.toFixed(2)} or more`);
    apply(part, least);
  };
  slider.addEventListener("input", show);
  slider.addEventListener("change", () => {
    const value = Number(slider.value);
    remember("score", value === START ? null : value.toFixed(2));
    for (const link of part.querySelectorAll("a[href^='?']")) link.setAttribute("href", withScore(link.getAttribute("href"), value));
  });
  show();
}

function withScore(href, value) {
  const asked = new URLSearchParams(href.slice(1));
  if (value === START) asked.delete("score");
  else asked.set("score", value.toFixed(2));
  return `?${asked}`;
}

function apply(part, least) {
  for (const found of part.querySelectorAll("g.found")) found.setAttribute("visibility", Number(found.dataset.score) < least ? "hidden" : "visible");
  for (const row of part.querySelectorAll("tr[data-score]")) row.hidden = Number(row.dataset.score) < least;
  for (const row of part.querySelectorAll("tr[data-finder]")) row.hidden = Number(row.dataset.finder) > 0 && Number(row.dataset.finder) >= least;
  for (const there of part.querySelectorAll(".gt[data-score]:not(.ignored)")) {
    const missed = !(Number(there.dataset.score) > 0 && Number(there.dataset.score) >= least);
    there.classList.toggle("missed", missed);
    there.classList.toggle("truth", !missed);
  }
  for (const tile of part.querySelectorAll(".tile:has([data-missed])")) {
    setText(tile.querySelector("[data-missed]"), `${tile.querySelectorAll(".gt.missed").length} missed`);
    const wrong = [...tile.querySelectorAll("g.found.wrong")].filter((each) => Number(each.dataset.score) >= least);
    setText(tile.querySelector("[data-wrong]"), `${wrong.length} wrong`);
  }
}
