// One scene of a data set: its cameras in the box, the picture of the chosen one, and all of them as a table.

import { heading, mountRig } from "./camera_rig.js";
import { element, remember, setHidden, table, tableToggle } from "./dom.js";

export function mountCameras(panel) {
  const rig = JSON.parse(document.getElementById("rig-data").textContent);
  const picture = panel.querySelector("[data-picture]");
  const strip = panel.querySelector("[data-strip]");
  const held = new Set(rig.held);
  const asked = new URLSearchParams(location.search);
  const view = mountRig(panel.querySelector("canvas"), rig, { onChoose: choose, onView: (text) => remember("view", text) });
  const buttons = rig.cameras.map((_, number) => {
    const url = rig.pictures[number];
    const what = `View ${number}${held.has(number) ? ", never encoded" : ""}`;
    const made = element(`button${held.has(number) ? ".held" : ""}`, { type: "button", "aria-pressed": "false", title: what, "aria-label": what }, url ? element("img", { src: url, alt: "", loading: "lazy", width: 64, height: 64 }) : String(number));
    made.addEventListener("click", () => choose(number));
    return made;
  });
  strip.replaceChildren(...buttons);
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = step && buttons[buttons.indexOf(document.activeElement) + step];
    if (next) { event.preventDefault(); next.focus(); next.click(); }
  });

  function choose(number) {
    if (!rig.cameras[number]) return;
    view.choose(number);
    remember("camera", number ? String(number) : null);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === number));
    const url = rig.pictures[number];
    setHidden(picture, !url);
    if (url) { picture.src = url; picture.alt = `Picture of view ${number}`; }
    const [bearing, pitch] = heading(rig.cameras[number]);
    panel.querySelector("[data-facts]").replaceChildren(...[["View", `${number}${held.has(number) ? ", never encoded" : ""}`], ["Place, voxels", place(rig.cameras[number])], ["Heading", bearing], ["Pitch", pitch]]
      .flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));
  }

  tableToggle(panel, "cameras", (asTable) => {
    setHidden(panel.querySelector("[data-rig]"), asTable);
    const holder = panel.querySelector("[data-table]");
    setHidden(holder, !asTable);
    if (asTable) holder.replaceChildren(table("Cameras of the scene", ["View", "x", "y", "z", "Heading", "Pitch", "Part"], rig.cameras.map((camera, number) => [String(number), ...camera.origin.map((each) => each.toFixed(1)), ...heading(camera), held.has(number) ? "held out" : "given"])));
  });
  view.setView(asked.get("view"));
  choose(Number(asked.get("camera")) || 0);
}

const place = ({ origin }) => origin.map((each) => each.toFixed(1)).join(", ");
