// Command palette: experiments of the team by name, and commands. Opened by shell.js; arrows move, Enter goes.

const palette = document.getElementById("palette");
const input = palette.querySelector("input");
const found = palette.querySelector("[data-experiments]");
const nothing = palette.querySelector("[data-none]");
const count = palette.querySelector("[data-count]");
let running = null; // the search under way; a newer one replaces it

const options = () => [...palette.querySelectorAll('[role="option"]:not([hidden])')];
const selected = () => palette.querySelector('[role="option"][aria-selected="true"]');

function select(option) {
  selected()?.removeAttribute("aria-selected");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

function move(step) {
  const all = options();
  const next = (all.indexOf(selected()) + step + all.length) % all.length;
  select(all[next]);
}

function experimentOption(experiment, index) {
  const option = document.createElement("a");
  option.id = `found-${index}`;
  option.href = experiment.url;
  option.tabIndex = -1;
  option.setAttribute("role", "option");
  const dot = document.createElement("span");
  dot.className = `run-dot c${experiment.colour}`;
  const status = document.createElement("span");
  status.className = "end";
  status.textContent = experiment.status;
  option.append(dot, experiment.name, status);
  return option;
}

function show(experiments) {
  const words = input.value.trim().toLowerCase();
  for (const command of palette.querySelectorAll('[id^="command-"]')) {
    command.hidden = !command.textContent.toLowerCase().includes(words);
  }
  found.replaceChildren(...experiments.map(experimentOption));
  found.hidden = experiments.length === 0;
  const all = options();
  nothing.hidden = all.length > 0;
  count.textContent = `${all.length} results`;
  select(all[0]);
}

async function search() {
  running?.abort();
  running = new AbortController();
  try {
    const address = `${palette.dataset.search}?q=${encodeURIComponent(input.value.trim())}`;
    const response = await fetch(address, { signal: running.signal });
    show(response.ok && !response.redirected ? (await response.json()).experiments : []);
  } catch (error) {
    if (error.name !== "AbortError") show([]); // offline: commands still work
  }
}

input.addEventListener("input", search);
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) move(step);
  else if (event.key === "Enter") selected()?.click();
  else return;
  event.preventDefault();
});
palette.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) palette.close();
});
// A dialog tells of closing but not of opening.
new MutationObserver(() => {
  if (!palette.open) return;
  input.value = "";
  input.focus();
  search();
}).observe(palette, { attributeFilter: ["open"] });
