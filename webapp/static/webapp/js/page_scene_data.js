// The Data tab of a scene experiment, and the cameras on a data set's own page.

import { bound } from "./dom.js";
import { onState } from "./live.js";
import { mountPart } from "./parts.js";
import { mountCameras } from "./scene_cameras.js";
import { mountSceneData } from "./scenes_data.js";

mountPart(document.querySelector("[data-browser]"), (part) => {
  const apply = part.querySelector("[data-apply]");
  if (apply) apply.hidden = true;
  const panel = part.querySelector("#rig");
  if (panel) mountCameras(panel);
  if (bound("data")) onState(mountSceneData(bound("data")));
});
