// Log lines: appended, never redrawn; the box follows only while the reader is at its end.

import { element, icon } from "./dom.js";
import { clockSeconds } from "./format.js";

const ICONS = { info: "info", warning: "warn", error: "warn" };
const WORDS = { info: "info", warning: "warning", error: "error" };

export function logLine(line) {
  const level = line.level === "warning" ? "warn" : line.level;
  const word = line.level === "info" ? [] : [element("b.level", {}, `${WORDS[line.level] || line.level}: `)];
  return element("li", { "data-level": level },
    element("time", { datetime: line.at }, clockSeconds(line.at)), element("span", {}, ...word, line.text));
}

/** The newest few lines, newest first. */
export function latestLines(list, lines, many = 6) {
  const shown = lines.slice(-many).reverse();
  const signature = shown.map((line) => `${line.seq}:${line.text}`).join("\n");
  if (list.dataset.signature === signature && list.children.length) return;
  list.dataset.signature = signature;
  if (!shown.length) {
    list.replaceChildren(element("li", {}, element("span.muted", {}, "Nothing logged yet.")));
    return;
  }
  list.replaceChildren(...shown.map((line) => element("li", { "data-level": line.level },
    icon(ICONS[line.level] || "info"), element("span.line", {}, line.level === "info" ? line.text : `${WORDS[line.level] || line.level}: ${line.text}`),
    element("time.end", { datetime: line.at }, clockSeconds(line.at)))));
}
