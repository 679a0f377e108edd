// Draws an offline copy of an experiment from data/experiment.js. A plain script: pages opened from disk load no modules.

(() => {
  const data = window.CANOPY;
  const main = document.getElementById("main");
  const drawn = []; // functions that draw the figures again

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const token = (name) => {
    const probe = main.appendChild(element("i"));
    probe.style.color = `var(--${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const clear = (colour) => colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.18)");
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const write = (value, share) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number") return String(value);
    return share ? percent(value) : value.toLocaleString("en", { maximumFractionDigits: 4 });
  };
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function table(title, heads, rows) {
    const head = element("tr", {}, ...heads.map((each, i) => element("th", { scope: "col", ...(i ? { class: "num" } : {}) }, each)));
    const body = rows.map((row) => element("tr", {}, ...row.map((cell, i) => element(i ? "td" : "th", i ? { class: "num" } : { scope: "row" }, cell))));
    return element("table", { class: "table compact" }, element("caption", { class: "sr-only" }, title), element("thead", {}, head), element("tbody", {}, ...body));
  }

  const scrolling = (title, inner) => element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title }, inner);

  function panel(title, note, ...inner) {
    const head = element("header", { class: "panel-head" }, element("h2", {}, title));
    return element("section", { class: "panel" }, head, ...inner, note ? element("p", { class: "panel-foot" }, note) : null);
  }

  function traces(line, figure) {
    const colour = token(`chart-${line.slot}`);
    if (figure.bars) return [{ type: "bar", x: line.x, y: line.y, name: escape(line.name), marker: { color: colour } }];
    const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    const band = line.lo.length ? [{ ...edge, y: line.lo }, { ...edge, y: line.hi, fill: "tonexty", fillcolor: clear(colour) }] : [];
    return [...band, {
      type: "scatter", mode: line.markers && line.x.length < 60 ? "lines+markers" : "lines", x: line.x, y: line.y, name: escape(line.name),
      line: { color: colour, width: 2, dash: line.dash },
    }];
  }

  /** Whole numbers only: powers of two on a log axis, at most a dozen bars with a number. */
  function ticks(figure) {
    const most = Math.max(...figure.lines.map((line) => line.x.at(-1) ?? 1));
    if (figure.bars) return { tick0: Math.min(...figure.lines.map((line) => line.x[0])), dtick: Math.max(1, Math.ceil(most / 12)) };
    if (!figure.log_x) return {};
    const values = [];
    for (let k = 1; k <= most; k *= most > 4096 ? 4 : 2) values.push(k);
    return { type: "log", tickvals: values, ticktext: values.map((k) => k.toLocaleString("en")) };
  }

  function plot(target, figure) {
    const axis = { gridcolor: token("chart-grid"), linecolor: token("chart-axis"), zeroline: false };
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: token("chart-text") };
    Plotly.react(target, figure.lines.flatMap((line) => traces(line, figure)), {
      margin: { l: 56, r: 16, t: 8, b: figure.lines.length > 1 ? 104 : 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font,
      showlegend: figure.lines.length > 1, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" }, bargap: 0.1,
      xaxis: { ...axis, title: { text: escape(figure.x_title) }, ...ticks(figure) },
      yaxis: { ...axis, title: { text: escape(figure.y_title) }, ...(figure.percent ? { tickformat: ".0%", rangemode: "tozero" } : {}) },
    }, { displayModeBar: false, responsive: true, doubleClick: "reset" });
  }

  function twin(figure) {
    const named = figure.lines.length > 1;
    const banded = figure.lines.some((line) => line.lo.length);
    const rows = figure.lines.flatMap((line) => line.x.map((x, i) => [
      ...(named ? [line.name] : []), write(x), write(line.y[i], figure.percent),
      ...(line.lo.length ? [`${write(line.lo[i], figure.percent)} to ${write(line.hi[i], figure.percent)}`] : banded ? [""] : []),
    ]));
    const heads = [...(named ? ["Line"] : []), figure.x_title, figure.y_title, ...(banded ? ["Band"] : [])];
    return element("details", {}, element("summary", {}, "As a table"), scrolling(`${figure.title} as a table`, table(figure.title, heads, rows)));
  }

  function figurePanel(figure) {
    const target = element("figure", { class: "figure", role: "img", "aria-label": `${figure.title}. The table below has its numbers.` });
    drawn.push(() => plot(target, figure));
    return panel(figure.title, figure.note, element("div", { class: "panel-body" }, target), twin(figure));
  }

  function settings([title, rows]) {
    const body = rows.map(([name, value, unit]) => [name, value.includes("\n") ? element("pre", {}, value) : `${value} ${unit}`.trim()]);
    return element("details", {}, element("summary", {}, title), scrolling(title, table(title, ["Setting", "Value"], body)));
  }

  const made = new Date(data.made).toLocaleString("en", { dateStyle: "long", timeStyle: "short" });
  const facts = data.facts.map(([name, value]) => element("div", { class: "kpi" }, element("span", { class: "kpi-label" }, name), element("span", { class: "strong" }, value)));
  main.append(
    element("header", { class: "page-head" }, element("h1", {}, data.name), element("p", { class: "muted" }, `${data.kind}, ${data.status.toLowerCase()}. An offline copy made on ${made}.`)),
    facts.length ? element("div", { class: "kpis", role: "group", "aria-label": "Key figures" }, ...facts) : "",
    ...data.pages.map(([title, path]) => panel(title, "", element("p", { class: "panel-body" }, element("a", { class: "link", href: path }, "Open it")))),
    ...data.figures.map(figurePanel),
    ...data.tables.map(({ title, heads, rows }) => panel(title, "", element("details", {}, element("summary", {}, `${rows.length.toLocaleString("en")} rows`), scrolling(title, table(title, heads, rows.map((row) => row.map((cell) => write(cell)))))))),
    panel("Settings", "", ...data.settings.map(settings)),
    panel("Files", "", element("ul", { class: "files" }, ...data.files.map(([name, title]) => element("li", {}, element("a", { class: "link", href: `files/${encodeURIComponent(name)}` }, name), ` ${title}`)))),
  );
  const draw = () => { for (const each of drawn) each(); };
  draw();
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", draw);
})();
