// The data that was read, in figures, and what was wrong with it.

import { element, icon } from "./dom.js";
import { count } from "./format.js";

export function mountSceneData(body) {
  let drawn = "";
  return ({ kind, status }) => {
    const signature = JSON.stringify([kind.data, status]);
    if (signature === drawn) return;
    drawn = signature;
    if (!kind.data) {
      const waits = status === "queued" || status === "running";
      body.replaceChildren(element("p.muted.data-wait", {}, waits ? "Counted once every picture and camera was read." : "It was not read."));
      return;
    }
    body.replaceChildren(facts(kind.data), ...report(kind.data.report || []));
  };
}

const gib = (bytes) => (bytes < 2 ** 29 ? `${Math.max(1, Math.round(bytes / 2 ** 20))} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`);

function facts({ name, scenes = {}, views, held_out: held, has_depth: depth, has_maps: maps, voxel, memory }) {
  const parts = Object.entries(scenes).filter(([, number]) => number).map(([part, number]) => `${count(number)} ${part}`);
  const rows = [
    ["Name", name], ["Scenes", parts.join(", ")], ["Views of a scene", views ? `${count(views)}${held ? `, ${count(held)} held out` : ""}` : ""],
    ["Depth", depth ? "known" : "not known: learned from the pictures alone"], ["Maps from above", maps ? "of every scene" : "none: scenes cannot follow a map"],
    ["A voxel", voxel ? `${voxel.toPrecision(3)} m` : ""],
    ["Memory of a step", memory ? `${gib(memory.total)} counted${memory.available ? `, ${gib(memory.available)} there` : ""}` : ""],
  ];
  return element("dl.dl", {}, ...rows.filter(([, value]) => value).flatMap(([title, value]) => [element("dt", {}, title), element("dd.data-value", {}, value)]));
}

function report(sentences) {
  if (!sentences.length) return [];
  const title = `${sentences.length} kind${sentences.length === 1 ? "" : "s"} of fault found and left out`;
  return [element("details.data-report", {}, element("summary", {}, icon("warn"), title), element("ul.plain", {}, ...sentences.map((each) => element("li", {}, each))))];
}
