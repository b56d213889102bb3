// Variations of a sample: other seeds, other settings with the same seed, noise and back, and the way to another seed.

import { el, plural, segmented } from "./dom.js";
import { clearFaults, number, showFaults, slider } from "./fields.js";
import { tileList } from "./tiles.js";

const MANY = 8;

export function varyPanel({ service, info }, sample, open) {
  const strength = slider("strength", "Strength", {
    min: 0.1, max: 1, step: 0.05, value: 0.5, text: (value) => `${Math.round(value * 100)} %`,
    hint: "How much noise the picture is given before it is made anew.",
  });
  const ways = [
    sample.body && ["seeds", "Other seeds"],
    sample.body && info.guided && ["guidance", "Guidance"],
    sample.body && !info.fixed && ["steps", "Steps"],
    !service.local && info.levels > 1 && !info.fixed && ["strength", "Strength"],
  ].filter(Boolean);
  let way = ways[0]?.[0];
  strength.element.hidden = way !== "strength";
  const choice = segmented("Change", ways, way, (value) => {
    way = value;
    strength.element.hidden = value !== "strength";
  });
  return maker(info, [strength], [choice, strength.element], `Make variations`, open, async (signal, tiles) => {
    if (way === "strength") {
      tiles.expect(MANY);
      const made = await service.edited(info, sample, { strength: strength.get(), n: MANY }, signal);
      made.forEach((each, at) => tiles.show(at, each));
      return made.length;
    }
    if (way === "seeds") {
      const body = { ...sample.body, n: MANY, seed: sample.seed + 1 };
      tiles.expect(MANY);
      const made = await service.pictures(body, { signal, onPartial: tiles.partial });
      made.forEach((each, at) => {
        each.body = { ...sample.body, seed: each.seed };
        tiles.show(at, each);
      });
      return made.length;
    }
    const values = way === "guidance" ? [0, 0.5, 1, 2, 4, 8] : stepsOf(info);
    tiles.expect(values.length);
    for (const [at, value] of values.entries()) {
      const body = { ...sample.body, [way]: value };
      const [made] = await service.pictures(body, { signal });
      Object.assign(made, { body, note: `${way} ${value}` });
      tiles.show(at, made, `${way} ${value}`);
    }
    return values.length;
  });
}

export function betweenPanel(context, sample, open) {
  const { service, info } = context;
  const pick = el("button", { type: "button", class: "ghost" }, "Pick in the grid");
  const to = number("to_seed", "To the seed", { min: 0, max: 2 ** 53 - 256, value: sample.seed + 1, beside: pick });
  const n = slider("n", "Pictures on the way", { min: 3, max: 16, step: 1, value: MANY });
  pick.addEventListener("click", () => {
    pick.textContent = "Click a picture…";
    context.pickInGrid((other) => {
      to.set(other.seed);
      pick.textContent = "Pick in the grid";
      context.pickInGrid(null);
      pick.focus();
    });
  });
  return maker(info, [to, n], [to.element, n.element], "Interpolate", open, async (signal, tiles) => {
    const body = { ...sample.body, n: n.get(), to_seed: to.get() };
    tiles.expect(n.get());
    const made = await service.interpolated(body, { signal });
    made.forEach((each, at) => {
      const share = `${Math.round((100 * at) / (made.length - 1))} %`;
      Object.assign(each, {
        label: sample.label,
        attributes: sample.attributes,
        note: `${share} from seed ${sample.seed} to ${to.get()}`,
        request: { path: "v1/images/interpolations", body, out: "way.json" },
      });
      tiles.show(at, each, share);
    });
    return made.length;
  });
}

/** A small form with a strip of what it made. */
export function maker(info, fields, content, word, open, make) {
  const tiles = tileList(info, { small: true, onpick: open });
  const status = el("p", { class: "status", role: "status" });
  const callout = el("p", { class: "callout", role: "alert", hidden: true });
  const go = el("button", { class: "primary", type: "submit" }, word);
  const form = el("form", { novalidate: true }, content, el("div", { class: "actions" }, go, status), callout, tiles.element);
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const mine = new AbortController();
    running = mine;
    clearFaults(fields, callout);
    status.textContent = "Making…";
    try {
      status.textContent = `${plural(await make(mine.signal, tiles), "picture")}. Choose one to go on from it.`;
    } catch (error) {
      tiles.trim();
      if (running === mine) status.textContent = "";
      if (error.name !== "AbortError") showFaults(fields, callout, error);
    }
  });
  return form;
}

function stepsOf(info) {
  const choices = info.stepChoices ?? [1, 2, 5, 10, 25, 50];
  return choices.filter((value) => value <= info.levels);
}
