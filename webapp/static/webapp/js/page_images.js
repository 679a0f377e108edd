// The Images tab.

import "./live.js";
import { mountPart } from "./parts.js";

mountPart(document.querySelector("[data-browser]"), (part) => {
  const apply = part.querySelector("[data-apply]");
  if (apply) apply.hidden = true;
});
