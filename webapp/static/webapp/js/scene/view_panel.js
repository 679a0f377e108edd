// The card "View": cuts along the axes, roof, field of view, sky, cameras.

import { element } from "../dom.js";
import { button, check, panel, percent, slider } from "./parts.js";
import { FOV } from "./pose.js";

const AXES = [["x", "Cut x"], ["y", "Cut y"], ["z", "Cut height"]];

/** `viewer` gives cuts, pose, options and invalidate(), moved(). */
export function viewPanel(viewer) {
  const sides = {};
  const rows = AXES.map(([axis, label]) => {
    const cut = slider(label, { value: 1, say: (value) => (value >= 1 ? "off" : percent(value)) }, (value) => {
      viewer.cuts[axis].at = value;
      viewer.changed();
    });
    const flip = button(`Keep the other side of the cut through ${axis}`, "flip", () => {
      viewer.cuts[axis].flip = !viewer.cuts[axis].flip;
      flip.setAttribute("aria-pressed", String(viewer.cuts[axis].flip));
      viewer.changed();
    }, { pressed: false });
    cut.row.append(flip);
    sides[axis] = { ...cut, flip };
    return cut.row;
  });
  const option = (name, label) => {
    const made = check(label, viewer.options[name], (value) => { viewer.options[name] = value; viewer.invalidate(); });
    return made.row;
  };
  const roof = option("roof", "Open roof in orbit");
  const cameras = option("cameras", "Cameras");
  const fov = slider("Field of view", { min: FOV.least, max: FOV.most, step: 1, value: viewer.pose.fov, say: (value) => `${value}°` }, (value) => {
    viewer.pose.fov = value;
    viewer.moved();
  });
  const gain = slider("Brightness", { min: 0.5, max: 4, step: 0.1, value: viewer.gain, say: (value) => `${value.toFixed(1)} ×` }, (value) => {
    viewer.gain = value;
    viewer.invalidate();
  });
  const card = panel("View", () => viewer.toggle(card), element("div.scene-rows", {}, ...rows, fov.row, gain.row), element("div.scene-checks", {}, roof, option("light", "Light in orbit"), option("sky", "Sky"), cameras));
  return {
    card,
    /** Show what the viewer holds. */
    update({ hasRoof, cameraCount }) {
      for (const [axis] of AXES) {
        sides[axis].set(viewer.cuts[axis].at);
        sides[axis].flip.setAttribute("aria-pressed", String(viewer.cuts[axis].flip));
      }
      fov.set(Math.round(viewer.pose.fov));
      roof.hidden = !hasRoof;
      cameras.hidden = !cameraCount;
      cameras.querySelector("span").textContent = `${cameraCount} camera${cameraCount === 1 ? "" : "s"}`;
    },
  };
}
