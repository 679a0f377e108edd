// The dialog that adds experiments: the newest are there already, a search asks the server.

import { element, icon, setText } from "./dom.js";

const WAIT = 200; // ms after the last key

/** A form that is sent without anything ticked would only load the page again: say what to do instead. */
export function refuseNothing() {
  for (const form of document.querySelectorAll("form.pick")) {
    const none = form.querySelector("[data-pick-none]");
    if (!none) continue;
    form.addEventListener("submit", (event) => {
      const ticked = form.querySelector("[data-choices] input:checked");
      setText(none, ticked ? "" : "Tick at least one experiment first.");
      if (!ticked) event.preventDefault();
    });
    form.addEventListener("change", () => setText(none, ""));
  }
}

export function mountPicker(root) {
  const form = document.querySelector("[data-add]");
  if (!form) return;
  const list = form.querySelector("[data-choices]");
  const newest = [...list.children];
  const counter = form.querySelector("[data-pick-count]");
  const onPage = new Set([...form.querySelectorAll("[type=hidden]")].map((input) => input.value));
  let timer = 0;

  form.querySelector("[data-pick-search]").addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => search(event.target.value.trim()), WAIT);
  });

  async function search(text) {
    const ticked = [...list.querySelectorAll("li:has(input:checked)")];
    if (!text) { show([...new Set([...ticked, ...newest])], ""); return; }
    const answer = await fetch(`${root.dataset.search}?${new URLSearchParams({ q: text })}`);
    if (!answer.ok) return;
    const taken = new Set(ticked.map((row) => row.querySelector("input").value));
    const found = (await answer.json()).experiments.filter(({ code }) => !onPage.has(code) && !taken.has(code));
    show([...ticked, ...found.map(choice)], found.length ? `${found.length} found` : "Nothing matches that is not here already.");
  }

  function show(rows, text) {
    list.replaceChildren(...rows);
    setText(counter, text);
  }
}

function choice({ code, name, status, colour }) {
  return element("li", {}, element("label.check", {},
    element("input", { type: "checkbox", name: "e", value: code }), element(`span.run-dot.c${colour}`), element("span.grow", {}, name)),
  element("span.end", {}, element("span.muted", {}, icon(status === "Finished" ? "check" : "clock")), status));
}
