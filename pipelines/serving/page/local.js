// In place of the service: the same pictures, sampled in this browser by onnxruntime-web from the model in the file.

import { noise } from "./noise.js";
import * as ort from "./ort.js";
import { el } from "./dom.js";

const round = Math.fround;

/** The model that the file holds. */
export async function openService() {
  const about = JSON.parse(document.getElementById("about-data").textContent);
  let session = null;
  return {
    models: [], named: null, local: true, family: () => [],
    use: async () => about.info,
    notices: () => notices(about.licences),
    async pictures(body, options = {}) {
      session ??= opened();
      return sampled(await session, about, body, options);
    },
    interpolated(body, options) {
      return this.pictures(body, options);
    },
  };
}

/** No key is wanted here. */
export function useKey() {}

async function opened() {
  const [runtime, model] = await Promise.all([embedded("runtime-data"), embedded("model-data")]);
  ort.env.wasm.wasmBinary = runtime.buffer;
  ort.env.wasm.numThreads = 1;
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** The bytes of a script element: gzip in base64. */
async function embedded(id) {
  const element = document.getElementById(id);
  const packed = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  element.remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function sampled(session, { info, plans }, body, { signal, onPartial = () => {} }) {
  const kind = body.sampler ?? info.defaults.sampler.kind;
  const steps = body.steps ?? info.defaults.sampler.steps;
  const weight = body.guidance ?? info.defaults.guidance.weight;
  const plan = plans[kind]?.[steps];
  if (!plan) throw Object.assign(new Error(), { fields: [{ field: "steps", message: `This file has no plan of ${kind} with ${steps} steps.` }] });
  const size = info.shape.reduce((product, side) => product * side);
  const labels = labelsOf(body.label, body.n, info.classes);
  const items = labels.map((label, i) => {
    const between = body.to_seed !== undefined;
    const seed = between ? body.seed : body.seed + i;
    const start = between
      ? slerp(noise(seed, 0, size), noise(body.to_seed, 0, size), i / (body.n - 1)) : noise(seed, 0, size);
    return { seed, label, x: start.map((value) => round(value * round(plan.start_scale))), past: [], D: null, frames: [] };
  });
  for (const [number, row] of plan.rows.entries()) {
    for (const item of items) {
      signal?.throwIfAborted();
      const out = row.asks ? await asked(session, info, item, row, weight) : null;
      const z = row.learned || row.c_z ? noise(item.seed, row.noise_step, size) : null;
      advance(row, item, out, z, plan);
      await new Promise((resolve) => { setTimeout(resolve); }); // let the page answer its user
    }
    for (const [i, item] of items.entries()) {
      if (!row.asks || number === plan.rows.length - 1) continue;
      const image = await pictureOf(item.D, info);
      item.frames.push(image);
      onPartial(i, image, `step ${number + 1} of ${plan.rows.length}`);
    }
  }
  const madeBy = { bundle: info.bundle, sampler: kind, steps: String(steps), guidance: String(weight) };
  return Promise.all(items.map(async ({ seed, label, x, frames }) => {
    const image = await pictureOf(x, info);
    return { seed, label, madeBy, image, frames, png: () => pngOf(image) };
  }));
}

/** The network at one row, with guidance where it acts: out_c + w (out_c - out_null), on the mean's channels. */
async function asked(session, info, { x, label }, row, weight) {
  const guided = weight !== 0 && row.guided && info.classes.length > 0;
  const n = guided ? 2 : 1;
  const scaled = new Float32Array(n * x.length);
  for (let i = 0; i < scaled.length; i += 1) scaled[i] = round(row.c_in) * x[i % x.length];
  const feeds = {
    x: new ort.Tensor("float32", scaled, [n, ...info.shape]),
    t: new ort.Tensor("float32", new Float32Array(n).fill(row.time), [n]),
  };
  if (info.classes.length) {
    const none = info.classes.length;
    feeds.label = new ort.Tensor("int64", BigInt64Array.from([label ?? none, none].slice(0, n), BigInt), [n]);
  }
  const { out } = await session.run(feeds);
  if (!guided) return out.data;
  const [given, without] = [out.data.slice(0, out.data.length / 2), out.data.subarray(out.data.length / 2)];
  for (let i = 0; i < x.length; i += 1) given[i] += round(round(weight) * round(given[i] - without[i]));
  return given;
}

/** One row of the plan, rounded to float32 where the service rounds. */
function advance(row, item, out, z, { memory, bound }) {
  const { x, past } = item;
  const D = new Float32Array(x.length);
  const next = new Float32Array(x.length);
  const terms = [[row.c_x, x], ...row.past_x.map((c, k) => [c, past[k].x]), [row.c_D, D], ...row.past_D.map((c, k) => [c, past[k].D])];
  if (out) {
    for (let i = 0; i < x.length; i += 1) {
      const value = round(round(round(row.A) * x[i]) + round(round(row.B) * out[i]));
      D[i] = bound ? Math.min(bound[1], Math.max(bound[0], value)) : value;
    }
  }
  for (let i = 0; i < x.length; i += 1) {
    let sum = round(round(terms[0][0]) * terms[0][1][i]);
    for (let k = 1; k < terms.length; k += 1) sum = round(sum + round(round(terms[k][0]) * terms[k][1][i]));
    if (z) sum = round(sum + round(round(deviation(row, out, x.length + i)) * z[i]));
    next[i] = sum;
  }
  item.past = [{ x, D }, ...past].slice(0, memory);
  item.x = next;
  item.D = D;
}

/** The noise's scale; of a learned variance Nichol & Dhariwal 2021, eq. 15. */
function deviation(row, out, at) {
  if (!row.learned) return row.c_z;
  const share = (out[at] + 1) / 2;
  return Math.exp(0.5 * (share * row.log_var_large + (1 - share) * row.log_var_small));
}

function labelsOf(label, n, classes) {
  return Array.from({ length: n }, (_, i) => {
    if (!classes.length || label === "none" || label === undefined) return null;
    return label === "cycle" ? i % classes.length : classes.indexOf(label);
  });
}

function slerp(a, b, share) {
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)))));
  const near = Math.sin(angle) < 1e-6;
  const [of, to] = near ? [1 - share, share] : [1 - share, share].map((part) => Math.sin(part * angle) / Math.sin(angle));
  return a.map((value, i) => of * value + to * b[i]);
}

/** The network's range back to bytes, by rounding to nearest; ties to even, as numpy has them. */
async function pictureOf(x, info) {
  const [channels, height, width] = info.shape;
  const [low, high] = info.range;
  const pixels = new ImageData(width, height);
  const level = (value) => {
    const place = (value - low) * ((info.grades - 1) / (high - low));
    const whole = Math.round(place);
    return Math.min(255, Math.max(0, whole - place === 0.5 && whole % 2 ? whole - 1 : whole));
  };
  for (let i = 0; i < width * height; i += 1) {
    for (let c = 0; c < 3; c += 1) pixels.data[4 * i + c] = level(x[(channels === 3 ? c : 0) * width * height + i]);
    pixels.data[4 * i + 3] = 255;
  }
  return createImageBitmap(pixels);
}

async function pngOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

function notices(licences) {
  return el("div", { class: "stack" }, Object.entries(licences).map(([name, text]) =>
    el("details", {}, el("summary", {}, `Licence: ${name}`), el("pre", { class: "code", tabindex: "0" }, text))));
}
