// The team's page: what runs is fetched anew every few seconds; use and spend are figures with table twins.

import { element, setText } from "./dom.js";
import { currentLook, escapeText, mountFigure, plotLayout } from "./figure.js";
import { swatch } from "./detection_figures.js";

const REFRESH_MS = 4000;
const OTHERS = 8; // slot of everybody after the seventh
const now = document.querySelector("[data-now]");
const sign = document.querySelector("[data-sign]");

async function refresh() {
  if (document.hidden || document.querySelector("dialog[open]")) return;
  const answer = await fetch(location.href, { headers: { "X-Part": "now" }, redirect: "error" });
  if (!answer.ok) throw new Error(answer.statusText);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html"); // server-escaped; scripts in it never run
  // A reader's place is never taken away.
  if (fresh.body.innerHTML.trim() !== now.innerHTML.trim() && !now.contains(document.activeElement)) now.replaceChildren(...fresh.body.childNodes);
  show("live", "Live");
}

function show(state, word) {
  sign.dataset.state = state;
  setText(sign.querySelector("b"), word);
}
setInterval(() => refresh().catch(() => show("reconnecting", "Reconnecting")), REFRESH_MS);

const usage = JSON.parse(document.getElementById("usage").textContent);
const slotOf = (i) => Math.min(i + 1, OTHERS);

for (const [id, values, write, unit] of [["hours", usage.hours, (value) => value.toFixed(1), "h"], ["spend", usage.dollars, (value) => `$${value.toFixed(2)}`, "US$"]]) {
  const panel = document.getElementById(id);
  const members = usage.members.map((name, i) => ({ name, slot: slotOf(i), row: values[i] })).filter(({ row }) => row.some(Boolean));
  panel.querySelector("[data-legend]").replaceChildren(...members.map(({ name, slot }) => element("li", {}, swatch(slot, "solid"), name)));
  if (!members.length) panel.querySelector("[data-wait]").replaceChildren(element("div.state", {}, element("h2", {}, "Nothing used"), element("p", {}, id === "hours" ? "No GPU worker did anything for this team in the time shown." : "No worker's time or token has a price in the time shown.")));
  mountFigure(panel, id, (plot) => (members.length ? figureOf(plot, members, { id, write, unit }) : null))();
}

function figureOf(plot, members, { id, write, unit }) {
  const look = currentLook();
  const traces = members.map(({ name, slot, row }) => ({
    type: "bar", name, x: usage.days, y: row, marker: { color: look.c[slot] }, customdata: row.map(write),
    hovertemplate: `<b>${escapeText(name)}</b><br>%{x|%e %b}: %{customdata}<extra></extra>`,
  }));
  const highest = Math.max(...usage.days.map((_, i) => members.reduce((sum, { row }) => sum + row[i], 0)));
  const y = { range: [0, highest * 1.08 || 1], tickformat: "", dtick: undefined, nticks: 6, title: { text: unit, font: { size: 12 } } };
  const x = { type: "date", tickformat: "%e %b", nticks: 8, title: { text: "" } };
  const layout = { ...plotLayout(plot, { x, y, revision: id }), barmode: "stack", bargap: 0.25 };
  const shown = usage.days.map((day, i) => ({ day, values: members.map(({ row }) => row[i]) }));
  const sum = (values) => values.reduce((all, value) => all + value, 0);
  return {
    traces, layout, caption: `${unit} of each member by day`, heads: ["Day", ...members.map(({ name }) => name), "All"],
    rows: shown.map(({ day, values }) => [day, ...values.map(write), write(sum(values))]), raw: shown.map(({ day, values }) => [day, ...values, sum(values)]),
    label: `${id === "hours" ? "GPU hours" : "US dollars"} by day. ${members.map(({ name, row }) => `${name}: ${write(sum(row))}`).join(", ")} in ${usage.days.length} days.`,
  };
}
