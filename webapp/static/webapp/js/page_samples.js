// The Samples tab: links and filters fetch the browser part alone; without this script they are plain pages.

import { onState } from "./live.js";
import { count } from "./format.js";

const browser = document.querySelector("[data-browser]");
let request = null;
let seen = null; // samples there were when the list was fetched

async function show(url, { push = true, focus = null } = {}) {
  request?.abort();
  request = new AbortController();
  browser.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { headers: { "X-Part": "browser" }, signal: request.signal });
    if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
    const scroll = browser.querySelector(".browser-list")?.scrollTop || 0;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html"); // server-escaped; scripts in it never run
    const sameList = listKey(url) === listKey(location.href);
    browser.replaceChildren(...parsed.body.childNodes);
    if (push) history.pushState(null, "", url);
    if (sameList) browser.querySelector(".browser-list").scrollTop = scroll;
    reveal();
    if (focus) browser.querySelector(focus)?.focus({ preventScroll: true });
    seen = null;
  } catch (error) {
    if (error.name !== "AbortError") location.assign(url); // let the browser show what is wrong
  } finally {
    browser.removeAttribute("aria-busy");
  }
}

/** The part of an address that decides the list at the left; within one list the scroll position stays. */
function listKey(url) {
  const asked = new URL(url, location.href).searchParams;
  const names = asked.get("q") || asked.get("verdict") ? ["q", "verdict", "problem", "after"] : ["order", "page"];
  return names.map((name) => asked.get(name)).join("|");
}

function reveal() {
  const list = browser.querySelector(".browser-list");
  const item = list.querySelector('[aria-current="true"]');
  if (!item) return;
  // By hand: scrollIntoView would move the whole page as well.
  const top = item.offsetTop - list.offsetTop;
  const hidden = top < list.scrollTop + item.offsetHeight || top + item.offsetHeight > list.scrollTop + list.clientHeight;
  if (hidden) list.scrollTop = top - list.clientHeight / 3;
}

browser.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const link = event.target.closest("a[href^='?']");
  const square = event.target.closest("rect[data-index]");
  if (link) {
    event.preventDefault();
    show(new URL(link.getAttribute("href"), location.href), { focus: focusAfter(link) });
  } else if (square && square.dataset.verdict) {
    show(new URL(square.closest("[data-strip]").dataset.strip + square.dataset.index, location.href));
  } else if (event.target.closest("[data-new-samples]")) {
    show(location.href, { push: false });
  }
});

function focusAfter(link) {
  if (link.hasAttribute("data-next")) return "[data-next]";
  if (link.hasAttribute("data-previous")) return "[data-previous]";
  return link.classList.contains("problem") ? '.browser-list [aria-current="true"]' : ".browser-sample";
}

function submit(form) {
  const asked = new URLSearchParams([...new FormData(form)].filter(([name, value]) => value && !(name === "order" && value === "index")));
  show(new URL(`?${asked}`, location.href));
}

browser.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(event.target);
});
browser.addEventListener("change", (event) => {
  if (event.target.matches("select")) submit(event.target.form);
});
addEventListener("popstate", () => show(location.href, { push: false }));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const target = { j: "[data-next]", k: "[data-previous]" }[event.key];
  if (target) browser.querySelector(target)?.click();
});

// New samples never move what is being read: a button says how many there are.
onState((state) => {
  const drawn = state.kind.graded;
  seen ??= drawn;
  const button = browser.querySelector("[data-new-samples]");
  button.hidden = drawn <= seen;
  button.querySelector("span").textContent = `${count(drawn - seen)} newly graded`;
});
reveal();
