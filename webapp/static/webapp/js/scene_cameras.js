// One scene of a data set: <canopy-cameras> draws where its pictures were taken; here are the list, the chosen view in
// figures, and all of them as a table.

import { element, remember, setHidden, table, tableToggle } from "./dom.js";

/** Where a camera looks: a compass heading (y is north) and how far up or down, in degrees. */
export function heading({ forward: [x, y, z] }) {
  const bearing = Math.round((90 - (Math.atan2(y, x) * 180) / Math.PI + 360) % 360) % 360;
  const pitch = Math.round((Math.asin(Math.max(-1, Math.min(1, z / Math.hypot(x, y, z)))) * 180) / Math.PI);
  return [`${bearing}°`, `${pitch}°`];
}

const place = ({ origin }) => origin.map((each) => each.toFixed(1)).join(", ");

export function mountCameras(panel) {
  const rig = JSON.parse(document.getElementById("rig-data").textContent);
  const viewer = panel.querySelector("canopy-cameras");
  const select = panel.querySelector("[data-camera]");
  const held = new Set(rig.held);
  viewer.addEventListener("cameraselect", ({ detail }) => tell(detail.index));
  viewer.addEventListener("camerachange", ({ detail }) => remember("view", detail.view || null));
  select.addEventListener("change", () => viewer.select(Number(select.value)));

  function tell(number) {
    const camera = rig.cameras[number];
    if (!camera) return;
    select.value = String(number);
    remember("camera", number ? String(number) : null);
    const [bearing, pitch] = heading(camera);
    const rows = [["View", String(number)], ["Used", held.has(number) ? "only rendered and compared" : "may be encoded"], ["Place, voxels", place(camera)], ["Heading", bearing], ["Pitch", pitch]];
    panel.querySelector("[data-facts]").replaceChildren(...rows.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));
  }

  tableToggle(panel, "cameras", (asTable) => {
    setHidden(panel.querySelector("[data-rig]"), asTable);
    const holder = panel.querySelector("[data-table]");
    setHidden(holder, !asTable);
    if (!asTable) return;
    const rows = rig.cameras.map((camera, number) => [String(number), ...camera.origin.map((each) => each.toFixed(1)), ...heading(camera), held.has(number) ? "held out" : "given"]);
    holder.replaceChildren(table("Cameras of the scene", ["View", "x", "y", "z", "Heading", "Pitch", "Part"], rows));
  });
  tell(Number(viewer.getAttribute("selected")) || 0);
}
