// Where a viewer's camera stands is kept like everything that is chosen: in the address of its page, or on a board in its tile.

import { viewOf } from "./dom.js";

/** Show the viewer as it was kept, and keep it. `kept`: where, if the viewer is not on the page yet. */
export function keepView(viewer, kept = viewOf(viewer)) {
  if (!viewer) return;
  const view = kept.get("view");
  if (view && !viewer.hasAttribute("view")) viewer.setAttribute("view", view);
  viewer.addEventListener("camerachange", ({ detail }) => kept.set("view", detail.view || null));
}
