// The page of a set of posed pictures.

import { mountPart } from "./parts.js";
import { mountCameras } from "./scene_cameras.js";

mountPart(document.querySelector("[data-browser]"), (part) => {
  const apply = part.querySelector("[data-apply]");
  if (apply) apply.hidden = true;
  mountCameras(part.querySelector("#rig"));
});
