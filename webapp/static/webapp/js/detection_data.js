// The data set in figures, and what was wrong with it.

import { element, icon } from "./dom.js";
import { count } from "./format.js";

export function mountData(body) {
  let drawn = "";
  return ({ kind, status }) => {
    const signature = JSON.stringify([kind.data, status]);
    if (signature === drawn) return;
    drawn = signature;
    if (!kind.data) {
      const waits = status === "queued" || status === "running";
      body.replaceChildren(element("p.muted.data-wait", {}, waits ? "Counted once every image was read." : "It was not read."));
      return;
    }
    body.replaceChildren(facts(kind.data), ...report(kind.data.report || []));
  };
}

function facts({ name, images, objects, classes, has_masks: masks }) {
  const parts = Object.entries(images).filter(([, number]) => number).map(([part, number]) => `${count(number)} ${part}`);
  const rows = [
    ["Name", name], ["Images", parts.join(", ")], ["Objects", objectsText(objects)],
    ["Classes", classes.length > 6 ? `${count(classes.length)}: ${classes.slice(0, 6).join(", ")}, …` : classes.join(", ")],
    ["Masks", masks ? "of every object: exact truth at all angles" : "not of every object: truth by the ellipse rule"],
  ];
  return element("dl.dl", {}, ...rows.filter(([, value]) => value).flatMap(([title, value]) => [element("dt", {}, title), element("dd.data-value", {}, value)]));
}

const objectsText = (objects) => (typeof objects === "number" ? count(objects) : Object.entries(objects || {}).map(([part, number]) => `${count(number)} ${part}`).join(", "));

function report(sentences) {
  if (!sentences.length) return [];
  const title = `${sentences.length} kind${sentences.length === 1 ? "" : "s"} of fault found and left out`;
  return [element("details.data-report", {}, element("summary", {}, icon("warn"), title), element("ul.plain", {}, ...sentences.map((each) => element("li", {}, each))))];
}
