// The share dialog: says what a link will open while its form is filled in, makes it, and shows it once.

import { element } from "./dom.js";

const WAIT = 250; // ms after the last change before the words are asked for
const form = document.querySelector("[data-share]");
const dialog = form.closest("dialog");
const part = (name) => form.querySelector(`[data-share-${name}]`);
const problem = part("error");
let timer = 0;
let asked = 0;

/** The scope as lists: what is seen, what is not, on which terms. */
function words({ shows, hides, terms }) {
  const list = (kind, lines) => element(`ul.plain.scope-${kind}`, {}, ...lines.map((line) => element("li", {}, line)));
  return [list("shows", shows), element("p.small.muted", {}, "Not shown"), list("hides", hides), element("p.small.muted", {}, "For"), list("terms", terms)];
}

async function send(url) {
  const answer = await fetch(url, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, redirect: "error" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(Object.values(body.errors || {}).flat().map((each) => each.message).join(" ") || "Load the page again and retry.");
  return body;
}

async function say() {
  const number = ++asked;
  try {
    const scope = await send(form.dataset.words);
    if (number !== asked) return; // a later change is on its way
    problem.hidden = true;
    part("words").replaceChildren(...words(scope));
  } catch (error) {
    if (number === asked) complain(error);
  }
}

function complain(error) {
  problem.textContent = error.message;
  problem.hidden = false;
}

function choose() {
  const chosen = part("what")?.selectedOptions[0];
  if (!chosen) return;
  form.elements.target.value = chosen.value;
  form.elements.scope.value = chosen.dataset.scope;
  part("samples").hidden = !chosen.dataset.samples;
  form.querySelector("[data-samples-word]").textContent = chosen.dataset.samples;
  const liveOnly = "liveOnly" in chosen.dataset;
  part("freeze").hidden = liveOnly;
  if (liveOnly) form.elements.freeze.checked = false;
}

/** A button of the page may ask for a thing of its own, such as one scene of many; others leave the dialog as it is. */
document.addEventListener("click", ({ target }) => {
  const opener = target.closest("[data-open='share']");
  const what = part("what");
  if (!opener || !what) return;
  const before = what.querySelector("[data-asked]");
  const { shareTarget, shareScope, shareTitle } = opener.dataset;
  if (!before && !shareTarget) return;
  before?.remove();
  if (shareTarget) {
    what.append(element("option", { value: shareTarget, "data-scope": shareScope, "data-samples": "", "data-live-only": true, "data-asked": true }, shareTitle));
    what.selectedIndex = what.options.length - 1;
  }
  show(false);
  choose();
}, true); // before the dialog opens

function show(made) {
  part("form").hidden = made;
  part("result").hidden = !made;
  part("make").hidden = made;
  part("again").hidden = !made;
}

form.addEventListener("input", () => {
  choose();
  clearTimeout(timer);
  timer = setTimeout(say, WAIT);
});
new MutationObserver(() => { if (dialog.open && part("result").hidden) say(); }).observe(dialog, { attributeFilter: ["open"] });
part("again").addEventListener("click", () => { show(false); say(); });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  part("make").disabled = true;
  try {
    const made = await send(form.action);
    form.querySelector("#share-url").textContent = made.url;
    form.querySelector("#share-embed-code").textContent = made.embed_code;
    part("embed").hidden = !made.embed_code;
    part("qr").src = made.qr;
    part("made").replaceChildren(...words(made));
    show(true);
    form.querySelector("[data-copy='share-url']").focus();
  } catch (error) {
    complain(error);
  } finally {
    part("make").disabled = false;
  }
});
