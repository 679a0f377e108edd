// Small helpers for building and filling elements. Text always goes in as text, never as markup.

export const bound = (name) => document.querySelector(`[data-bind="${name}"]`);

/** element("li.row", {title: "x", "data-index": 3}, child, "text") */
export function element(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  return filled(made, attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The file with all icons; every page names it once. */
export const iconsUrl = () => document.querySelector("[data-icons]").dataset.icons;

export function icon(name) {
  const use = svg("use", { href: `${iconsUrl()}#i-${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true" }, use);
}

/** Write only when it differs: an unchanged text node costs no layout and no screen-reader noise. */
export function setText(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

export function setHidden(node, hidden) {
  if (node && node.hidden !== hidden) node.hidden = hidden;
}

/** Rejects when the server refuses. */
export async function fetchJson(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, redirect: "error" });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

/** A token holds light-dark(...), so its resolved colour is read through a probe. */
export function token(name, scope = document.body) {
  const probe = scope.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

export function withAlpha(colour, alpha) {
  const parts = colour.match(/[\d.]+/g).slice(0, 3);
  return `rgba(${parts.join(",")},${alpha})`;
}

/** Where what a figure shows is kept: in the address of its page, or on a board in its tile. */
export const viewOf = (node) => node?.closest("[data-tile]")?.view || ADDRESS;

const ADDRESS = {
  get: (key) => new URLSearchParams(location.search).get(key),
  set: remember,
};

/** Turn a group of buttons into a choice that is kept in the view; returns the value chosen at the start. */
export function choice(buttons, key, attribute, onChange) {
  const values = [...buttons].map((button) => button.dataset[attribute]);
  const kept = viewOf(buttons[0]);
  const asked = kept.get(key);
  const mark = (value) => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset[attribute] === value);
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const value = button.dataset[attribute];
      mark(value);
      kept.set(key, value === values[0] ? null : value);
      onChange(value);
    });
  }
  const first = values.includes(asked) ? asked : values[0];
  mark(first);
  return first;
}

/** Keep a piece of the view in the address, so that it can be sent to somebody. */
export function remember(key, value) {
  const address = new URL(location.href);
  if (value === null) address.searchParams.delete(key);
  else address.searchParams.set(key, value);
  history.replaceState(history.state, "", address);
}

/** A button that swaps a chart for its table and back; calls onTable the first time and after each swap to it. */
export function tableToggle(panel, key, onSwap) {
  const button = panel.querySelector("[data-as-table]");
  const kept = viewOf(panel);
  const show = (asTable) => {
    const label = asTable ? "View as chart" : "View as table";
    button.setAttribute("aria-pressed", asTable);
    button.setAttribute("aria-label", label);
    button.title = label;
    onSwap(asTable);
  };
  button.addEventListener("click", () => {
    const asTable = button.getAttribute("aria-pressed") !== "true";
    kept.set(key, asTable ? "table" : null);
    show(asTable);
  });
  if (kept.get(key) === "table") show(true);
}

export function table(caption, heads, rows) {
  const head = heads.map((title, i) => element(i ? "th.num" : "th", { scope: "col" }, title));
  const body = rows.map((row) => element("tr", {}, ...row.map((value, i) =>
    i ? element("td.num", {}, value) : element("th", { scope: "row" }, value))));
  return element("table.table.compact", {}, element("caption.sr-only", {}, caption),
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}
