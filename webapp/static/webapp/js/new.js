// The form for a new experiment: presets fill it, an estimate follows it, errors stand beside their fields.

const PAUSE_MS = 350; // after the last keystroke
const form = document.getElementById("new-experiment");
const presets = JSON.parse(document.getElementById("preset-values")?.textContent ?? "{}");
const exampleLists = form.querySelectorAll("[data-examples]");

// --- few-shot examples

function addExample(group, example = { question: "", answer: "" }) {
  const item = group.querySelector("template").content.cloneNode(true).firstElementChild;
  const [question, answer] = item.querySelectorAll("textarea");
  question.value = example.question;
  answer.value = example.answer;
  group.querySelector("[data-list]").append(item);
  return question;
}

for (const group of exampleLists) {
  group.addEventListener("click", (event) => {
    if (event.target.closest("[data-add]")) addExample(group).focus();
    const remove = event.target.closest("[data-remove]");
    if (!remove) return;
    remove.closest("li").remove();
    group.querySelector("[data-add]").focus();
    changed();
  });
}

// --- presets

function fill(values) {
  for (const [name, value] of Object.entries(values)) {
    const control = form.elements[name];
    const group = form.querySelector(`[data-field="${name}"][data-examples]`);
    const boxes = form.querySelectorAll(`[data-field="${name}"][data-multi] [type="checkbox"]`);
    if (boxes.length) for (const box of boxes) box.checked = value.includes(box.value);
    else if (group) {
      group.querySelector("[data-list]").replaceChildren();
      for (const example of value) addExample(group, example);
    } else if (control?.type === "checkbox") control.checked = value;
    else if (control) control.value = value;
  }
}

// --- fields that mean something with some values of another one only

function showMeaningful() {
  for (const field of form.querySelectorAll("[data-only]")) {
    field.hidden = !field.dataset.onlyWith.split(" ").includes(form.elements[field.dataset.only].value);
  }
}

// --- estimate and errors

function showErrors(errors, onlyOf = null) {
  for (const field of form.querySelectorAll("[data-field]")) {
    const name = field.dataset.field;
    const line = document.getElementById(`id_${name}_error`);
    const control = form.elements[name];
    const error = errors[name] ?? "";
    if (error && onlyOf && !onlyOf.has(name)) continue; // nobody is told off for a field not yet touched
    line.hidden = !error;
    line.querySelector("span").textContent = error;
    if (error) control?.setAttribute?.("aria-invalid", "true");
    else control?.removeAttribute?.("aria-invalid");
  }
}

function showWrong(errors) {
  const box = form.querySelector("[data-wrong]");
  const entries = Object.entries(errors);
  box.hidden = entries.length === 0;
  form.querySelector("[data-wrong-count]").textContent =
    entries.length === 1 ? "One thing needs a look." : `${entries.length} things need a look.`;
  form.querySelector("[data-wrong-list]").replaceChildren(...entries.map(([name, error]) => {
    const item = document.createElement("li");
    const label = form.querySelector(`label[for="id_${name}"], #label_${name}`);
    if (label) {
      const link = document.createElement("a");
      link.className = "link";
      link.href = `#id_${name}`;
      link.textContent = label.firstChild.textContent;
      item.append(link, ": ");
    }
    item.append(error);
    return item;
  }));
}

function showEstimate({ rows, note, errors }) {
  if (Object.keys(errors).length) note = "For the last settings that were right.";
  const parts = rows.flatMap(([label, value, known]) => {
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = label;
    if (known) {
      const how = document.createElement("span");
      how.className = "known";
      how.textContent = known;
      term.append(how);
    }
    told.textContent = value;
    return [term, told];
  });
  if (parts.length) form.querySelector("[data-estimate-rows]").replaceChildren(...parts);
  const foot = form.querySelector("[data-estimate-note]");
  foot.hidden = !note;
  foot.textContent = note;
}

const touched = new Set();
let timer = 0;
let asked = 0;

async function estimate() {
  const number = ++asked;
  const response = await fetch(form.dataset.estimate, { method: "POST", body: new FormData(form) });
  if (!response.ok || response.redirected || number !== asked) return; // an older answer must not win
  const answer = await response.json();
  const shown = Object.fromEntries(Object.entries(answer.errors).filter(([name]) => touched.has(name)));
  showErrors(answer.errors, touched);
  showWrong(shown);
  showEstimate(answer);
}

function changed() {
  clearTimeout(timer);
  timer = setTimeout(() => estimate().catch(() => { /* offline: the server checks again on submit */ }), PAUSE_MS);
}

form.addEventListener("input", (event) => {
  const { name } = event.target;
  if (name === "preset") fill(presets[event.target.value] ?? {});
  else {
    touched.add(name.replace(/-(question|answer)$/, ""));
    for (const radio of form.querySelectorAll('[name="preset"]')) radio.checked = false;
  }
  showMeaningful();
  changed();
});
for (const line of form.querySelectorAll(".error:not([hidden])")) touched.add(line.closest("[data-field]")?.dataset.field);

showMeaningful();
addEventListener("pageshow", showMeaningful); // a form that the browser filled again

// A form that was sent is not sent twice by an impatient second click.
form.addEventListener("submit", () => form.querySelector('[type="submit"]').setAttribute("aria-busy", "true"));
addEventListener("pageshow", () => form.querySelector('[type="submit"]').removeAttribute("aria-busy"));

// --- upload of a problem set

const upload = document.querySelector("[data-upload]");
const failed = document.getElementById("upload-error");

function sayUploadError(text) {
  failed.hidden = !text;
  failed.querySelector("span").textContent = text;
}

upload?.addEventListener("submit", async (event) => {
  event.preventDefault();
  sayUploadError("");
  const button = document.querySelector('[form="upload-form"]');
  button.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(upload.action, {
      method: "POST", body: new FormData(upload), headers: { Accept: "application/json" },
    });
    const answer = await response.json();
    if (response.ok) choose(answer);
    else sayUploadError(answer.error);
  } catch {
    sayUploadError("The server did not take the file. It may be larger than 20 MB, or the connection broke off.");
  } finally {
    button.removeAttribute("aria-busy");
  }
});

function choose({ value, label }) {
  document.querySelector("[data-uploads]").append(new Option(label, value, true, true));
  upload.reset();
  upload.closest("dialog").close();
  changed();
}
