// Held-out views beside what the auto-encoder renders of them.

import { element, setText, table } from "./dom.js";
import { count } from "./format.js";
import { score } from "./scenes_state.js";

/** The first `most` views; on a frozen copy, which keeps no pictures, their numbers as a table. */
export function mountViews(box, most) {
  const body = box.querySelector("[data-body]");
  const { url } = body.dataset;
  let drawn = "";
  return ({ kind, status }) => {
    const shown = kind.views.slice(0, most);
    const signature = JSON.stringify([shown, status]);
    if (signature === drawn) return;
    drawn = signature;
    const words = url ? "picture, rendered, depth" : "the pictures are not kept in this copy";
    setText(box.querySelector("[data-sub]"), shown.length ? `${words}; as of step ${count(shown[0].step)}` : words);
    if (!shown.length) body.replaceChildren(emptyText(status));
    else if (url) body.replaceChildren(element("div.views", {}, ...shown.map(viewRow)));
    else body.replaceChildren(table("Held-out views", ["View", "PSNR, dB", "Depth error"], shown.map((view) => [nameOf(view), view.psnr.toFixed(1), score(view.depth_error)])));
  };

  function viewRow(view) {
    const picture = (part, alt) => element("img", { src: url.replace("0-input@0", `${view.index}-${part}@${view.step}`), alt, width: 128, height: 128, loading: "lazy" });
    return element("figure.view-row", {},
      picture("input", `Picture of ${nameOf(view)}`), picture("picture", `The same view rendered: ${view.psnr.toFixed(1)} dB`), picture("depth", "Its rendered depth"),
      element("figcaption", {}, element("b", {}, nameOf(view)), element("span", {}, `${view.psnr.toFixed(1)} dB`)));
  }
}

const nameOf = ({ scene, view }) => `${scene}, view ${view}`;

function emptyText(status) {
  const waits = status === "queued" || status === "running";
  return element("div.state", { "data-state": "empty" }, element("h2", {}, waits ? "No view yet" : "No view was rendered"), element("p", {}, waits ? "While the scene auto-encoder trains, it renders views it never saw beside the pictures they stand for." : "The experiment ended before one was."));
}
