// The view of series: a table is given as CSV, and what follows or is missing is sampled and drawn as a fan.

import { fanChart } from "./charts.js";
import { codeBlock } from "./code.js";
import { exampleOf, parseTable } from "./csv.js";
import { download, el, plural, segmented, short } from "./dom.js";
import { number, select, text } from "./fields.js";
import { settings } from "./settings.js";

const LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95];
const DRAWN = 5;
// of a history, as many times the forecast's steps are drawn, and at least so many rows
const [BEFORE, LEAST] = [4, 24];
const TASKS = {
  "/v1/forecasts": { field: "history", word: "Forecast", title: "Forecast what follows", legend: "Forecast" },
  "/v1/imputations": { field: "table", word: "Fill gaps", title: "Fill the gaps", legend: "Fill gaps" },
};

export function seriesView(service, info, { controls, results }) {
  const routes = info.routes.filter((route) => TASKS[route]);
  let route = routes[0];
  const area = el("textarea", { rows: 8, spellcheck: "false", autocomplete: "off", wrap: "off" });
  const table = text("history", "Table (CSV)", area, {
    hint: `A row a step (${info.about.frequency}), the columns ${["time", ...info.about.columns].join(", ")}. An empty cell is missing.`,
  });
  table.also = ["table", "start", "timestamps"];
  const horizon = number("horizon", "Steps ahead", { min: 1, max: 10_000, value: info.about.horizon ?? 24 });
  const label = info.classes.length
    ? select("label", "Series", [["none", "another one"], ...info.classes.map((name) => [name, name])], "none") : null;
  const file = el("input", { type: "file", accept: ".csv,text/csv,text/plain", class: "quiet", tabindex: "-1", "aria-hidden": "true" });
  const load = async (chosen) => { if (chosen) area.value = await chosen.text(); };
  file.addEventListener("change", () => load(file.files[0]));
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) {
      event.preventDefault();
      load(event.dataTransfer.files[0]);
    }
  });
  const example = () => { area.value = exampleOf(info, route === "/v1/imputations"); };
  const source = {
    name: "file", input: file, fault() {},
    element: el("div", { class: "actions" },
      el("button", { type: "button", class: "ghost", onclick: () => file.click() }, "Load a file"), file,
      el("button", { type: "button", class: "ghost", onclick: () => { example(); form.run(); } }, "Use an example")),
  };
  const show = () => {
    horizon.element.hidden = route !== "/v1/forecasts";
    form.element.querySelector("[type=submit]").textContent = TASKS[route].word;
    title.textContent = TASKS[route].title;
  };
  const task = routes.length > 1 && {
    name: "task", input: file, fault() {},
    element: segmented("Task", routes.map((each) => [each, TASKS[each].legend]), route, (value) => { route = value; show(); }),
  };
  const title = el("h2", {}, TASKS[route].title);
  const status = el("p", { class: "status", role: "status" });
  const room = el("div", { class: "stack" });
  const form = settings(service, info, {
    first: task ? [task] : [], own: [table, source, ...(label ? [label] : []), horizon], n: 100, most: 256, word: TASKS[route].word,
    async submit(values, signal) {
      const { field } = TASKS[route];
      const body = { [field]: area.value, output: "both", quantiles: LEVELS, ...values };
      if (route === "/v1/forecasts") body.horizon = horizon.get();
      if (label) body.label = label.get();
      const began = performance.now();
      status.textContent = `Sampling ${plural(values.n, "series", "series")}…`;
      room.classList.add("waiting");
      try {
        const answer = await service.json(route.slice(1), body, { signal });
        room.replaceChildren(...charts(parseTable(area.value), answer), ...rest(answer, body, route));
        status.textContent = `${plural(values.n, "sample")} in ${((performance.now() - began) / 1000).toFixed(1)} s.`;
      } catch (error) {
        status.textContent = error.name === "AbortError" ? "Cancelled." : "No answer: see the message beside the form.";
        throw error;
      } finally {
        room.classList.remove("waiting");
      }
    },
  });
  controls.replaceChildren(title, form.element);
  results.replaceChildren(el("div", { class: "row spread head" }, status), room);
  room.append(el("p", { class: "empty" }, "Paste a table, or load a file, to see what the model makes of it."));
  show();
  if (service.example !== false) {
    if (!area.value) example();
    form.run();
  }
}

/** A fan chart of each column, from the table and the service's answer. */
function charts(table, answer) {
  const numbered = typeof answer.times[0] === "number";
  const place = (time, row) => (table.times && !numbered ? Date.parse(dated(time)) : row);
  const given = table.rows.map((_, row) => place(table.times?.[row], row));
  // without times of its own the table's rows are counted from 0, and a forecast goes on where they end
  const filled = answer.times.length === table.rows.length && (!table.times || dated(answer.times[0]) === dated(table.times[0]));
  const start = filled ? 0 : table.rows.length;
  const asked = answer.times.map((time, step) => place(time, start + step));
  const texts = new Map([...given.map((x, row) => [x, table.times?.[row] ?? String(row)]), ...asked.map((x, step) => [x, String(answer.times[step])])]);
  return answer.columns.map((name, column) => {
    const cells = table.rows.map((row) => row[table.columns.indexOf(name)] ?? (answer.columns.length === 1 ? row[0] : NaN));
    const told = cells.map((value, row) => (Number.isFinite(value) ? [given[row], value] : null));
    const shown = filled ? told : told.slice(-Math.max(BEFORE * asked.length, LEAST));
    const missing = (step) => !filled || !told[step];
    const at = (level) => answer.quantiles[level].map((row) => row[column]);
    const [low, lower, middle, upper, high] = LEVELS.map((level) => at(String(level)));
    const spread = (a, b) => asked.map((x, step) => (missing(step) ? [x, a[step], b[step]] : null));
    const lines = answer.samples.slice(0, DRAWN).map((sample) => asked.map((x, step) => (missing(step) ? [x, sample[step][column]] : null)));
    const join = filled ? null : told.filter(Boolean).at(-1);
    const joined = (points) => (join ? [join, ...points] : points);
    const widened = (points) => (join ? [[join[0], join[1], join[1]], ...points] : points);
    return el("div", { class: "card" }, fanChart({
      title: [answer.series, name].filter(Boolean).join(" "), told: shown,
      fan: {
        outer: widened(spread(low, high)), inner: widened(spread(lower, upper)),
        median: joined(asked.map((x, step) => (missing(step) ? [x, middle[step]] : null))),
      },
      samples: lines.map(joined),
      timeText: (x) => String(texts.get(x) ?? "").replace("T", " "),
    }));
  });
}

function dated(time) {
  const text = String(time).trim().replace(" ", "T");
  return text.includes("T") ? text : `${text}T00:00`;
}

function rest(answer, body, route) {
  const names = LEVELS.map((level) => `${100 * level} %`);
  const lines = [["time", "column", ...LEVELS].join(",")];
  const rows = answer.times.flatMap((time, step) => answer.columns.map((name, column) => {
    const values = LEVELS.map((level) => answer.quantiles[String(level)][step][column]);
    lines.push([time, name, ...values].join(","));
    return el("tr", {}, [time, name, ...values.map(short)].map((cell) => el("td", {}, String(cell))));
  }));
  return [
    el("div", { class: "actions" }, el("button", {
      type: "button", class: "ghost",
      onclick: () => download(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }), "quantiles.csv"),
    }, "Download CSV")),
    el("details", { class: "card" }, el("summary", {}, "Quantiles as a table"),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of quantiles" },
        el("table", {}, el("thead", {}, el("tr", {}, ["time", "column", ...names].map((name) => el("th", { scope: "col" }, name)))),
          el("tbody", {}, rows)))),
    el("details", { class: "card" }, el("summary", {}, "The request as code"),
      codeBlock({ path: route.slice(1), body: { ...body, format: "csv" }, out: "samples.csv" })),
  ];
}
