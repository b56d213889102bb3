// A mask painted on a picture: what is painted is made anew, the rest stays.

import { el } from "./dom.js";
import { slider } from "./fields.js";
import { maker } from "./vary.js";
import { canvasOf } from "./tiles.js";

const TINT = [214, 60, 120];

export function fillPanel({ service, info }, sample, open) {
  const paint = painter(sample.image);
  const n = slider("n", "How many", { min: 1, max: 8, step: 1, value: 4 });
  const brush = slider("brush", "Brush", {
    min: 1, max: Math.max(3, Math.round(sample.image.width / 3)), step: 1, value: paint.brush(),
    text: (value) => `${value} px`,
  });
  brush.input.addEventListener("input", () => paint.brush(brush.get()));
  const mask = { ...n, name: "mask", also: ["image"], input: paint.element, fault: paint.fault };
  const half = (text, inside) => el("button", { type: "button", class: "ghost", onclick: () => paint.region(inside) }, text);
  const content = [
    paint.element,
    el("p", { class: "hint", id: "paint-help" },
      "Paint with the mouse or a finger. With the keyboard: arrows move the brush, space paints, backspace clears."),
    paint.told,
    el("div", { class: "actions" },
      half("Top", (x, y) => y < 0.5), half("Bottom", (x, y) => y >= 0.5), half("Left", (x) => x < 0.5),
      half("Right", (x) => x >= 0.5),
      el("button", { type: "button", class: "ghost", onclick: () => paint.clear() }, "Clear")),
    brush.element, n.element,
  ];
  return maker(info, [mask, n], content, "Fill", open, async (signal, tiles) => {
    if (!paint.any()) throw Object.assign(new Error(), { fields: [{ field: "mask", message: "Paint where to fill first." }] });
    tiles.expect(n.get());
    const made = await service.edited(info, sample, { mask: paint.painted(), n: n.get() }, signal);
    made.forEach((each, at) => tiles.show(at, each));
    return made.length;
  });
}

/** The picture with a mask over it, a cell a pixel. */
function painter(image) {
  const { width, height } = image;
  const painted = new Uint8Array(width * height);
  let size = Math.max(1, Math.round(width / 7));
  const at = { x: Math.floor(width / 2), y: Math.floor(height / 2), shown: false };
  const over = el("canvas", { width, height, class: "pixels mask" });
  const element = el("div", {
    class: "painter", tabindex: "0", role: "application", "aria-label": "Mask over the picture", "aria-describedby": "paint-help",
  }, canvasOf(image), over);
  const told = el("p", { class: "fault", hidden: true });
  const pen = over.getContext("2d");

  const draw = () => {
    const data = pen.createImageData(width, height);
    for (let i = 0; i < painted.length; i += 1) if (painted[i]) data.data.set([...TINT, 190], 4 * i);
    pen.putImageData(data, 0, 0);
    if (at.shown) {
      pen.strokeStyle = "rgb(255 200 0)";
      pen.lineWidth = Math.max(1, width / 64);
      pen.strokeRect(at.x - size / 2, at.y - size / 2, size, size);
    }
  };
  const dab = (x, y, value) => {
    const reach = size / 2;
    for (let v = 0; v < height; v += 1) {
      for (let u = 0; u < width; u += 1) {
        if (Math.hypot(u + 0.5 - x, v + 0.5 - y) <= reach) painted[v * width + u] = value;
      }
    }
    told.hidden = true;
    draw();
  };
  let drawing = null;
  const place = (event) => {
    const box = over.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    drawing = event.button === 2 || event.shiftKey ? 0 : 1;
    at.shown = false;
    dab(...place(event), drawing);
    event.preventDefault();
  });
  over.addEventListener("pointermove", (event) => { if (drawing !== null) dab(...place(event), drawing); });
  over.addEventListener("pointerup", () => { drawing = null; });
  over.addEventListener("pointercancel", () => { drawing = null; });
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  element.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (move) {
      at.shown = true;
      at.x = Math.min(width, Math.max(0, at.x + move[0]));
      at.y = Math.min(height, Math.max(0, at.y + move[1]));
      draw();
    } else if (event.key === " ") dab(at.x, at.y, 1);
    else if (event.key === "Backspace") dab(at.x, at.y, 0);
    else return;
    event.preventDefault();
  });
  element.addEventListener("blur", () => { at.shown = false; draw(); });
  return {
    element, told,
    brush(next) {
      if (next) size = next;
      return size;
    },
    clear() { painted.fill(0); draw(); },
    region(inside) {
      for (let i = 0; i < painted.length; i += 1) {
        painted[i] = inside(((i % width) + 0.5) / width, (Math.floor(i / width) + 0.5) / height) ? 1 : 0;
      }
      told.hidden = true;
      draw();
    },
    any: () => painted.some(Boolean),
    painted: () => painted,
    fault(text) {
      told.textContent = text ?? "";
      told.hidden = !text;
    },
  };
}
