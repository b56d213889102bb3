// Pictures as tiles: small ones are enlarged pixel by pixel, as nothing between their pixels is known.

import { el } from "./dom.js";

const SMALL = 96;
const FEW = 12;

/** A canvas of a picture's own size; the style enlarges it. */
export function canvasOf(image, label) {
  const canvas = el("canvas", { width: image.width, height: image.height });
  if (image.width < SMALL) canvas.classList.add("pixels");
  if (label) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}

export function nameOf(sample, info) {
  const word = sample.label === null || sample.label === undefined ? "" : info.classes[sample.label];
  const seed = sample.seed === null ? "" : `seed ${sample.seed}`;
  const told = Object.entries(sample.attributes ?? {}).map(([name, value]) => `${name} ${value}`);
  return [word && `class ${word}`, ...told, seed, sample.note].filter(Boolean).join(", ");
}

/** A list of tiles that are filled one after the other. */
export function tileList(info, { onpick, small = false } = {}) {
  const list = el("ul", { class: small ? "tiles strip" : "tiles" });
  const places = [];
  let start = 0;
  const aspect = `${info.shape.at(-1)} / ${info.shape.at(-2)}`;
  const place = () => {
    const blank = el("div", { class: "blank", "aria-hidden": "true" });
    blank.style.aspectRatio = aspect;
    const item = el("li", {}, blank);
    places.push(item);
    return item;
  };
  return {
    element: list,
    /** Show places for n pictures. */
    expect(n, { append = false } = {}) {
      if (!append) {
        places.length = 0;
        list.replaceChildren();
      }
      start = places.length;
      list.classList.toggle("few", !small && n <= FEW);
      list.append(...Array.from({ length: n }, place));
    },
    /** The state of a picture that is being made. */
    partial(number, image) {
      const item = places[start + number];
      const canvas = canvasOf(image);
      canvas.setAttribute("aria-hidden", "true");
      item?.replaceChildren(el("div", { class: "tile forming" }, canvas));
    },
    show(number, sample, caption) {
      const name = nameOf(sample, info);
      const tile = el("button", { type: "button", class: "tile", "aria-pressed": "false" },
        el("span", { class: "quiet" }, name), canvasOf(sample.image), el("span", { class: "caption", "aria-hidden": "true" }, caption ?? captionOf(sample, info)));
      tile.addEventListener("click", () => onpick(sample, tile));
      places[start + number].replaceChildren(tile);
    },
    press(tile) {
      for (const each of list.querySelectorAll(".tile")) each.setAttribute("aria-pressed", String(each === tile));
    },
    /** Take away the places that stayed empty. */
    trim() {
      for (const item of places) if (!item.querySelector("button")) item.remove();
    },
  };
}

function captionOf(sample, info) {
  const word = sample.label === null || sample.label === undefined ? "" : info.classes[sample.label];
  const told = Object.values(sample.attributes ?? {});
  return [(word || told.length > 0) && el("b", {}, [word, ...told].filter(Boolean).join(" ")), `seed ${sample.seed}`];
}
