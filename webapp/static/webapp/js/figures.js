// Figures as files: PNG and SVG, made in the browser from what is on the page.

import { element, token } from "./dom.js";

const SCALE = 2; // of PNG pixels, for print and dense screens
// What style sheets give a drawing; a file stands alone and needs it written out.
const LOOK = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity", "font-family",
  "font-size", "font-weight", "visibility", "text-anchor"];

function save(url, name) {
  element("a", { href: url, download: name }).click();
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  save(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the download has begun by then
}

/** A plotly figure. format: "png" or "svg" */
export async function savePlot(figure, format, name) {
  if (!figure.data) return;
  const layout = { ...figure.layout, paper_bgcolor: token("--surface") };
  const options = { format, width: 960, height: 540, scale: format === "png" ? SCALE : 1 };
  save(await Plotly.toImage({ data: figure.data, layout }, options), `${name}.${format}`);
}

/** A drawing of our own: an <svg> of the page. */
export async function saveDrawing(drawing, format, name) {
  const { width, height } = drawing.getBoundingClientRect();
  const blob = new Blob([standalone(drawing, width, height)], { type: "image/svg+xml" });
  if (format === "svg") { saveBlob(blob, `${name}.svg`); return; }
  const url = URL.createObjectURL(blob);
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const canvas = element("canvas", { width: Math.ceil(width * SCALE), height: Math.ceil(height * SCALE) });
  const context = canvas.getContext("2d");
  context.fillStyle = token("--surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  canvas.toBlob((png) => saveBlob(png, `${name}.png`), "image/png");
}

function standalone(drawing, width, height) {
  const copy = drawing.cloneNode(true);
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((part, i) => {
    const style = getComputedStyle(originals[i]);
    for (const name of LOOK) part.setAttribute(name, style.getPropertyValue(name));
    part.removeAttribute("class");
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  return new XMLSerializer().serializeToString(copy);
}

/** Buttons with data-png and data-svg in a panel. make(format) saves. */
export function figureButtons(panel, make) {
  for (const format of ["png", "svg"]) {
    panel.querySelector(`[data-${format}]`)?.addEventListener("click", () => make(format));
  }
}
