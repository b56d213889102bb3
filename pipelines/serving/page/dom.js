// Elements, and texts of numbers.

/** An element: el("button", {class: "tile", onclick: run, "aria-label": "…"}, child, "text"). */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The same in SVG. */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}

let numbers = 0;

/** An id that nothing else on the page has. */
export function fresh(prefix) {
  numbers += 1;
  return `${prefix}-${numbers}`;
}

/** A number as a person reads it, 4 digits at most. */
export function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "";
}

export function plural(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

/** Offer bytes as a file. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A choice of one among a few, by radio buttons that look like one control. `options`: [[value, text], …]. */
export function segmented(legend, options, chosen, onchange) {
  const name = fresh("choice");
  const inputs = options.map(([value, text]) =>
    el("label", { class: "chip" },
      el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }),
      el("span", {}, text)));
  return el("fieldset", { class: "segmented" }, el("legend", {}, legend), el("div", { class: "chips" }, inputs));
}
