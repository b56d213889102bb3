// The form: what every kind of data is asked by, and what its own view adds.

import { el, plural, segmented } from "./dom.js";
import { clearFaults, number, select, showFaults, slider } from "./fields.js";

const FEW = 14;

/** Which classes to ask for: `cycle` is each in turn, `none` leaves the class open. */
export function classChoice(info, { cycle = true } = {}) {
  const options = [...(cycle ? [["cycle", "All"]] : []), ...info.classes.map((name) => [name, name]), ["none", "None"]];
  let chosen = options[0][0];
  if (options.length > FEW) {
    const made = select("label", "Class", options, chosen);
    return { ...made, get: made.get };
  }
  const element = segmented("Class", options, chosen, (value) => { chosen = value; });
  const fault = el("p", { class: "fault", hidden: true, id: "label-fault" });
  element.append(fault);
  const input = element.querySelector("input");
  return {
    name: "label", also: ["labels", "prompt"], element, input, get: () => chosen,
    set(value) {
      chosen = value;
      for (const each of element.querySelectorAll("input")) each.checked = each.value === value;
    },
    fault(text) {
      fault.textContent = text ?? "";
      fault.hidden = !text;
      input.setAttribute("aria-invalid", text ? "true" : "false");
    },
  };
}

/** A choice for each attribute that the model is told besides the class: {element, read(), set(attributes)}. */
export function attributeChoices(info) {
  const told = Object.entries(info.conditions ?? {}).filter(([name, { classes }]) => name !== "label" && classes.length);
  const fields = told.map(([name, { classes }]) => ({
    ...select(`attribute-${name}`, name, [["none", "Any"], ["cycle", "All, in turn"], ...classes.map((each) => [each, each])], "none"),
    attribute: name, also: [`attributes.${name}`],
  }));
  return {
    fields,
    /** What a request says of them; undefined where nothing is asked. */
    read() {
      const asked = fields.filter((each) => each.get() !== "none").map((each) => [each.attribute, each.get()]);
      return asked.length ? Object.fromEntries(asked) : undefined;
    },
    set: (attributes) => fields.forEach((each) => each.set(attributes?.[each.attribute] ?? "none")),
  };
}

/** The form of a view. `own`: its fields; `submit(values, signal)` does the work; `word`: what the button says. */
export function settings(service, info, { own, n, most, word, submit, first = [] }) {
  const limit = Math.min(most, info.limits?.[info.kind] ?? most);
  const steps = info.defaults.sampler.steps;
  const dice = el("button", { type: "button", class: "ghost", "aria-label": "New seed" }, "New");
  const fields = {
    seed: number("seed", "Seed", { min: 0, max: 2 ** 53 - 256, value: info.defaults.seed ?? 0, beside: dice }),
    n: slider("n", "How many", { min: 1, max: limit, step: 1, value: Math.min(n, limit) }),
  };
  if (!info.fixed) {
    fields.sampler = select("sampler", "Sampler", info.samplers.map((kind) => [kind, kind]), info.defaults.sampler.kind);
    fields.steps = also("num_inference_steps", stepsField(info, steps));
  }
  dice.addEventListener("click", () => fields.seed.set(Math.floor(Math.random() * 1e9)));
  if (info.guided) {
    fields.guidance = also("guidance_scale", slider("guidance", "Guidance", {
      min: 0, max: 5, step: 0.1, value: info.defaults.guidance.weight, text: (value) => value.toFixed(1),
      hint: "How strongly the class is followed; 0 is off.",
    }));
  }
  const all = [...first, ...own, ...Object.values(fields)];
  const callout = el("p", { class: "callout", role: "alert", hidden: true });
  const go = el("button", { class: "primary", type: "submit" }, word);
  const stop = el("button", { class: "ghost", type: "button", hidden: true }, "Cancel");
  const ways = [fields.sampler, fields.steps, fields.guidance].filter(Boolean);
  const more = ways.length ? el("details", { class: "more" }, el("summary", {}, "Sampler, steps", info.guided ? ", guidance" : ""),
    ways.map((each) => each.element)) : null;
  const asked = all.filter((each) => each.set && !ways.includes(each));
  for (const each of asked) if (each.name in info.kept) each.set(info.kept[each.name]);
  const mode = modeChoice(info, (other) => {
    running?.abort();
    info.change(other, Object.fromEntries(asked.map((each) => [each.name, each.get()])));
  });
  const form = el("form", { novalidate: true },
    mode, first.map((each) => each.element), own.map((each) => each.element), fields.seed.element, fields.n.element, more,
    callout, el("div", { class: "actions" }, go, stop));
  if (more && matchMedia("(min-width: 60rem)").matches) more.open = true;
  let running = null;
  const read = () => {
    const values = { ...(service.named ? { model: service.named } : {}), n: fields.n.get(), seed: fields.seed.get() };
    if (fields.sampler && fields.sampler.get() !== info.defaults.sampler.kind) values.sampler = fields.sampler.get();
    if (fields.steps && fields.steps.get() !== steps) values.steps = fields.steps.get();
    if (fields.guidance && fields.guidance.get() !== info.defaults.guidance.weight) {
      values.guidance = fields.guidance.get();
    }
    return values;
  };
  const run = async () => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    clearFaults(all, callout);
    form.setAttribute("aria-busy", "true");
    stop.hidden = false;
    try {
      await submit(read(), mine.signal);
    } catch (error) {
      if (error.name !== "AbortError") showFaults(all, callout, error);
    } finally {
      if (running === mine) {
        form.removeAttribute("aria-busy");
        stop.hidden = true;
      }
    }
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); run(); });
  stop.addEventListener("click", () => running?.abort());
  return { element: form, fields, read, run };
}

/** The model itself, or a student of it, which is faster; null where there is no choice. */
function modeChoice(info, onchange) {
  if (info.modes.length < 2) return null;
  const [, ...fast] = info.modes;
  const word = (each, at) => (at === 0 ? "Full" : fast.length > 1 ? `Fast (${each.evaluations})` : "Fast");
  const element = segmented("Mode", info.modes.map((each, at) => [each.id, word(each, at)]), info.id, onchange);
  element.id = "mode";
  element.append(el("p", { class: "hint" }, `${plural(info.evaluations, "network evaluation")} a sample`));
  return element;
}

function also(name, field) {
  return { ...field, also: [name] };
}

function stepsField(info, value) {
  if (info.stepChoices) {
    const made = select("steps", "Steps", info.stepChoices.map((each) => [each, String(each)]), value);
    return { ...made, get: () => Number(made.get()) };
  }
  const top = Math.min(info.levels, Math.max(100, value));
  return slider("steps", "Steps", { min: 1, max: top, step: 1, value });
}
