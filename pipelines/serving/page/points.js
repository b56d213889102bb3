// The view of points: a scatter plot of samples.

import { scatterChart } from "./charts.js";
import { codeBlock } from "./code.js";
import { download, el, plural, short } from "./dom.js";
import { classChoice, settings } from "./settings.js";

const SHOWN = 20;

export function pointsView(service, info, { controls, results }) {
  const labels = info.classes.length ? classChoice(info) : null;
  const status = el("p", { class: "status", role: "status" });
  const room = el("div", { class: "stack" });
  const form = settings(service, info, {
    first: labels ? [labels] : [], own: [], n: 256, most: 256, word: "Generate",
    async submit(values, signal) {
      const body = labels ? { label: labels.get(), ...values } : values;
      const began = performance.now();
      status.textContent = `Making ${plural(values.n, "point")}…`;
      room.classList.add("waiting");
      try {
        const { points } = await service.json("v1/points", body, { signal });
        status.textContent = `${plural(points.length, "point")} in ${((performance.now() - began) / 1000).toFixed(1)} s.`;
        room.replaceChildren(...shown(points, body, info));
      } catch (error) {
        status.textContent = error.name === "AbortError" ? "Cancelled." : "No points: see the message beside the form.";
        throw error;
      } finally {
        room.classList.remove("waiting");
      }
    },
  });
  controls.replaceChildren(el("h2", {}, "Make points"), form.element);
  results.replaceChildren(el("div", { class: "row spread head" }, status), room);
  form.run();
}

function shown(points, body, info) {
  const word = (label) => (label === null ? "" : info.classes[label] ?? label);
  const csv = ["x,y,label,seed", ...points.map(({ x, y, label, seed }) => `${x},${y},${word(label)},${seed}`)].join("\n");
  const rows = points.slice(0, SHOWN).map(({ x, y, label, seed }) =>
    el("tr", {}, [short(x), short(y), word(label), seed].map((cell) => el("td", {}, String(cell)))));
  return [
    el("div", { class: "card" }, scatterChart({ title: plural(points.length, "point"), points, classes: info.classes })),
    el("div", { class: "actions" }, el("button", {
      type: "button", class: "ghost",
      onclick: () => download(new Blob([`${csv}\n`], { type: "text/csv" }), "points.csv"),
    }, "Download CSV")),
    el("details", { class: "card" }, el("summary", {}, `The first ${rows.length} as a table`),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of points" },
        el("table", {}, el("thead", {}, el("tr", {}, ["x", "y", "class", "seed"].map((name) => el("th", { scope: "col" }, name)))),
          el("tbody", {}, rows)))),
    el("details", { class: "card" }, el("summary", {}, "The request as code"),
      codeBlock({ path: "v1/points", body: { ...body, format: "csv" }, out: "points.csv" })),
  ];
}
