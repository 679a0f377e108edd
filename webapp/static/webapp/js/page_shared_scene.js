// A scene behind a share link: the address holds where its camera stands.

import { keepView } from "./scene_view.js";

keepView(document.querySelector("canopy-scene"));
