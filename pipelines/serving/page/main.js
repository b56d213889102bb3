// Open the service, choose a model, and show the view of its kind of data.

import { el } from "./dom.js";
import { picturesView } from "./pictures.js";
import { pointsView } from "./points.js";
import { seriesView } from "./series.js";
import { openService, useKey } from "./service.js";

const VIEWS = { pictures: picturesView, points: pointsView, series: seriesView };
const part = (id) => document.getElementById(id);

async function start() {
  try {
    const service = await openService();
    await show(service, service.models[0] ?? null);
  } catch (error) {
    fail(error);
  }
}

let shows = 0;

/** The view of one model. `kept`: what was asked of another one before, to be asked of this one too. */
async function show(service, name, kept = {}) {
  shows += 1;
  const mine = shows;
  const info = await service.use(name);
  if (mine !== shows) return; // another model was chosen meanwhile
  info.guided = (info.classes.length > 0 || "pseudo_class_shares" in info.about) && info.levels > 1 && !info.student;
  info.fixed = Boolean(info.student?.sampler); // a student of one sampler at its own levels alone
  info.modes = service.family(name);
  info.kept = kept;
  info.change = (other, asked) => show(service, other, asked).then(() => document.querySelector("#mode input:checked")?.focus()).catch(fail);
  const [controls, results, detail] = ["controls", "results", "detail"].map(part);
  detail.hidden = true;
  part("model").replaceChildren(header(service, info, name));
  part("about").replaceChildren(about(service, info));
  document.title = `${info.kind} · ddpm`;
  const view = VIEWS[info.kind];
  if (!view) {
    controls.replaceChildren(el("p", {}, `This page has no view of ${info.kind}.`));
    results.replaceChildren(el("p", { class: "empty" }, "The service answers by its API: ", el("a", { href: "openapi.json" }, "/openapi.json")));
    return;
  }
  view(service, info, { controls, results, detail });
}

function header(service, info, name) {
  const digest = el("span", { class: "digest", title: info.bundle }, info.bundle.slice(0, 12));
  const version = info.version ? `version ${info.version} ` : "";
  if (service.models.length < 2) return el("p", {}, el("span", {}, name === "default" || !name ? info.kind : name), " ", version, digest);
  const choice = el("select", { id: "which" }, service.models.map((each) => el("option", { value: each }, each)));
  choice.value = info.modes[0].id;
  choice.addEventListener("change", () => show(service, choice.value).catch(fail));
  return el("div", { class: "row" }, el("label", { for: "which", class: "quiet" }, "Model"), choice, el("p", {}, version, digest));
}

function about(service, info) {
  const rows = {
    kind: info.kind,
    shape: info.shape.join(" × "),
    bundle: info.bundle,
    ...(info.version ? { version: info.version } : {}),
    "runs on": info.device,
    "evaluations a sample": info.evaluations,
    ...(info.student ? { "student of": info.student.teacher, "guidance in its answers": info.student.guidance.weight } : {}),
    trained: info.provenance?.train_steps ? `${info.provenance.train_steps} steps` : undefined,
  };
  const known = Object.entries(rows).filter(([, value]) => value !== undefined);
  return el("details", {}, el("summary", {}, "About this model"),
    el("dl", { class: "facts" }, known.map(([key, value]) => [el("dt", {}, key), el("dd", {}, String(value))]).flat()),
    service.local ? service.notices() : el("p", {}, el("a", { href: "openapi.json" }, "The API (OpenAPI)")));
}

function fail(error) {
  part("controls").hidden = true;
  if (error.code === "key_wanted") {
    askForKey(error);
    return;
  }
  part("results").replaceChildren(el("div", { class: "callout", role: "alert" },
    el("p", {}, error.message),
    el("button", { type: "button", class: "ghost", onclick: () => location.reload() }, "Try again")));
}

/** The service wants an API key: it stays in this tab. */
function askForKey(error) {
  const key = el("input", { id: "key", type: "password", autocomplete: "off", required: true });
  part("results").replaceChildren(el("form", {
    class: "card", onsubmit: (event) => { event.preventDefault(); useKey(key.value); location.reload(); },
  }, el("h2", {}, "This service wants an API key"), el("p", { class: "hint" }, error.message),
  el("label", { for: "key" }, "API key"), key, el("button", { type: "submit", class: "primary" }, "Open")));
}

start();
