// One sample: what it is, and what can be made of it.

import { codeBlock } from "./code.js";
import { download, el, segmented } from "./dom.js";
import { fillPanel } from "./fill.js";
import { betweenPanel, varyPanel } from "./vary.js";
import { canvasOf, nameOf } from "./tiles.js";

/** Show a sample. `back`: what has the focus again when it is closed. */
export function openDetail(context, sample, { back, before } = {}) {
  const { detail, info, service } = context;
  context.pickInGrid(null);
  const close = () => {
    detail.hidden = true;
    context.pickInGrid(null);
    context.closed();
    back?.focus();
  };
  const open = (other) => openDetail(context, other, { back, before: sample });
  const name = nameOf(sample, info) || "Sample";
  const panels = {
    vary: ["Vary", () => varyPanel(context, sample, open)],
    fill: !service.local && info.levels > 1 && !info.fixed && ["Fill", () => fillPanel(context, sample, open)],
    between: sample.body &&
      ["Interpolate", () => betweenPanel(context, sample, open)],
    code: !service.local && ["Code", () => codeBlock(requestOf(sample))],
  };
  const known = Object.entries(panels).filter(([, panel]) => panel);
  const room = el("div", { class: "panel" });
  const show = (key) => {
    context.pickInGrid(null);
    room.replaceChildren(panels[key][1]());
  };
  const big = canvasOf(sample.image, name);
  const heading = el("h2", { tabindex: "-1" }, name);
  detail.replaceChildren(
    el("div", { class: "row spread" }, heading,
      el("button", { type: "button", class: "ghost", "aria-label": "Close the sample", onclick: close }, "Close")),
    el("div", { class: "sample" },
      el("div", { class: "big" }, big, ...forming(sample, big)),
      el("div", {}, facts(sample),
        el("div", { class: "actions" },
          el("button", {
            type: "button", class: "ghost",
            onclick: async () => download(await sample.png(), `${info.kind}-${sample.seed}.png`),
          }, "Download PNG"),
          sample.body && el("button", { type: "button", class: "ghost", onclick: () => context.use(sample) }, "Use this seed"),
          before && el("button", {
            type: "button", class: "ghost", onclick: () => openDetail(context, before, { back }),
          }, "Back")))),
    segmented("What next?", known.map(([key, [text]]) => [key, text]), known[0][0], show),
    room);
  detail.onkeydown = (event) => { if (event.key === "Escape") close(); };
  detail.hidden = false;
  show(known[0][0]);
  detail.scrollIntoView({ block: "nearest" });
  heading.focus({ preventScroll: true });
}

/** A slider through the states that were seen while the picture formed. */
function forming({ frames, image }, canvas) {
  if (!frames?.length) return [];
  const states = [...frames, image];
  const input = el("input", { type: "range", min: 1, max: states.length, step: 1, value: String(states.length), "aria-label": "How it formed" });
  input.addEventListener("input", () => canvas.getContext("2d").drawImage(states[input.value - 1], 0, 0));
  return [input, el("p", { class: "hint" }, "How it formed")];
}

function facts(sample) {
  const { bundle, ...made } = sample.madeBy;
  const rows = Object.entries({ ...made, model: bundle.slice(0, 12) });
  return el("dl", { class: "facts" }, rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat());
}

function requestOf(sample) {
  return sample.request ?? { path: "v1/images", body: sample.body, out: `${sample.seed}.png` };
}
