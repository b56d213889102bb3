// Edits of a picture by the service: filled where it is painted, or noised and made anew.

import { picture, pngOf } from "./png.js";
import { canvasOf } from "./tiles.js";
import { post } from "./wire.js";

const PATH = "v1/images/edits";

/** Samples made from a sample, with a painted `mask` or by a `strength`. */
export async function edited(service, info, sample, { mask, strength, n }, signal) {
  const texts = { prompt: promptOf(sample, info), n: String(n), seed: String(sample.seed ?? 0) };
  const { sampler, steps, guidance } = sample.body ?? sample.settings ?? {};
  if (strength !== undefined) texts.strength = String(strength);
  if (sampler !== undefined) texts.sampler = sampler;
  if (steps !== undefined) texts.num_inference_steps = String(steps);
  if (guidance !== undefined) texts.guidance_scale = String(guidance);
  if (service.named) texts.model = service.named;
  const form = new FormData();
  form.append("image", await sample.png(), "picture.png");
  if (mask) form.append("mask", await maskPng(sample.image, mask), "mask.png");
  for (const [name, value] of Object.entries(texts)) form.append(name, value);
  const { data } = await (await post(PATH, form, signal)).json();
  const files = { image: "@picture.png", ...(mask ? { mask: "@mask.png" } : {}) };
  const note = mask ? "filled" : `strength ${Math.round(strength * 100)} %`;
  return Promise.all(data.map(({ b64_json: text }, at) =>
    picture(pngOf(text), {
      seed: (sample.seed ?? 0) + at, label: sample.label, attributes: sample.attributes, madeBy: { ...sample.madeBy, edit: note }, note,
      settings: { sampler, steps, guidance },
      request: { path: PATH, form: true, body: { ...files, ...texts }, out: "edits.json" },
    })));
}

function promptOf(sample, info) {
  const label = sample.label === null || sample.label === undefined ? "none" : info.classes[sample.label];
  return [label, ...Object.entries(sample.attributes ?? {}).map(([name, value]) => `${name}=${value}`)].join("; ");
}

/** A PNG as large as the picture, transparent where it is to be filled. */
async function maskPng(image, painted) {
  const canvas = canvasOf(image);
  const pen = canvas.getContext("2d");
  const data = pen.createImageData(image.width, image.height);
  painted.forEach((fill, i) => { data.data.set([0, 0, 0, fill ? 0 : 255], 4 * i); });
  pen.putImageData(data, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
