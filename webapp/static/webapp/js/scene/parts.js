// The viewers' own small controls, made of the page's components.

import { element, icon } from "../dom.js";

export function button(label, name, onClick, { text = false, pressed, small = true, attributes = {} } = {}) {
  const made = element(`button.btn${small ? ".small" : ""}${text ? "" : ".icon-only"}`, {
    type: "button", "aria-label": text ? null : label, title: text ? null : label, "aria-pressed": pressed === undefined ? null : String(pressed), ...attributes,
  }, name ? icon(name) : null, text ? element("span", {}, label) : null);
  made.addEventListener("click", onClick);
  return made;
}

/** A bar of buttons in a corner of the viewer: place is tl, tr, bl or br. */
export const bar = (place, label, ...children) => element(`div.viewer-bar.${place}`, { role: "group", "aria-label": label }, ...children);

export function press(pressed, ...buttons) {
  for (const one of buttons) one.setAttribute("aria-pressed", String(pressed(one)));
}

/** A named slider with its value in words. `say` turns the number into words. */
export function slider(label, { min = 0, max = 1, step = 0.01, value, say = String }, onInput, ...after) {
  const input = element("input.range", { type: "range", min, max, step, value });
  const output = element("output", {}, say(value));
  const row = element("div.scene-row", {}, element("label", {}, element("span", {}, label), input), output, ...after);
  const show = () => {
    output.textContent = say(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  show();
  input.addEventListener("input", () => { show(); onInput(Number(input.value)); });
  return { row, input, set(next) { input.value = next; show(); } };
}

export function check(label, value, onChange) {
  const input = element("input.switch", { type: "checkbox", checked: value });
  input.checked = value;
  input.addEventListener("change", () => onChange(input.checked));
  return { row: element("label.scene-check", {}, element("span", {}, label), input), input, set(next) { input.checked = next; } };
}

/** A card over the right side of the viewer; `onClose` puts the focus back. */
export function panel(title, onClose, ...children) {
  const close = button("Close", "x", onClose);
  const made = element("section.scene-panel", { "aria-label": title, hidden: true }, element("header", {}, element("h3", {}, title), close), ...children);
  made.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); onClose(); } });
  return made;
}

/** Give a file made in the browser to whoever asked for it. */
export function saveFile(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** At most one call in `ms`, the last one always heard. */
export function throttled(call, ms) {
  let timer = 0;
  return () => {
    if (!timer) timer = setTimeout(() => { timer = 0; call(); }, ms);
  };
}
