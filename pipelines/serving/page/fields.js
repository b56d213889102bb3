// Fields of a form: a label, an input, a hint, and a place for what the service says of it.

import { el, fresh } from "./dom.js";

/** One field: {element, name, input, fault(text)}. `input` gets the id, so that label and messages belong to it. */
export function field(name, label, input, { hint, beside, aside } = {}) {
  const id = input.id || fresh(name);
  input.id = id;
  const fault = el("p", { class: "fault", id: `${id}-fault`, hidden: true });
  const told = hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  const describe = (faulty) =>
    input.setAttribute("aria-describedby", [told?.id, faulty && fault.id].filter(Boolean).join(" "));
  if (told) describe(false);
  return {
    name,
    input,
    element: el("div", { class: "field" },
      el("div", { class: "row spread" }, el("label", { for: id }, label), aside),
      el("div", { class: "row" }, input, beside), told, fault),
    fault(text) {
      fault.textContent = text ?? "";
      fault.hidden = !text;
      input.setAttribute("aria-invalid", text ? "true" : "false");
      describe(Boolean(text));
    },
  };
}

/** A slider with its number beside it. */
export function slider(name, label, { min, max, step, value, hint, text = String }) {
  const output = el("output", { class: "amount" }, text(value));
  const input = el("input", { type: "range", min, max, step, value: String(value) });
  const show = () => {
    output.textContent = text(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", show);
  const made = field(name, label, input, { hint, aside: output });
  output.setAttribute("for", input.id);
  return { ...made, get: () => Number(input.value), set(next) { input.value = String(next); show(); } };
}

export function number(name, label, { min, max, value, hint, beside }) {
  const input = el("input", { type: "number", inputmode: "numeric", min, max, step: 1, value: String(value) });
  const made = field(name, label, input, { hint, beside });
  return { ...made, get: () => Number(input.value), set(next) { input.value = String(next); } };
}

export function select(name, label, options, value, { hint } = {}) {
  const input = el("select", {}, options.map(([key, text]) => el("option", { value: key }, text)));
  input.value = String(value);
  const made = field(name, label, input, { hint });
  return { ...made, get: () => input.value, set(next) { input.value = String(next); } };
}

export function text(name, label, input, { hint } = {}) {
  const made = field(name, label, input, { hint });
  return { ...made, get: () => input.value, set(next) { input.value = next; } };
}

/** Show an error's messages beside the fields that it names; the rest, or all, in the callout. */
export function showFaults(fields, callout, error) {
  clearFaults(fields, callout);
  const rest = [];
  for (const { field: name, message } of error.fields ?? []) {
    const found = fields.find((each) => [each.name, ...(each.also ?? [])].some((own) => own === name || own === name.split(".")[0]));
    if (!found) rest.push(`${name}: ${message}`);
    else found.fault(name === found.name ? message : `${name}: ${message}`);
  }
  const first = fields.find((each) => each.input.getAttribute("aria-invalid") === "true");
  first?.input.closest("details")?.setAttribute("open", "");
  first?.input.focus();
  const text = rest.length ? rest.join(" ") : first ? "" : error.message;
  callout.textContent = text;
  callout.hidden = !text;
}

export function clearFaults(fields, callout) {
  for (const each of fields) each.fault(null);
  callout.hidden = true;
  callout.textContent = "";
}
