// The service behind the page: its models, and what it answers.

import { edited } from "./edits.js";
import { picture, pngOf } from "./png.js";
import { getJson, post, ServiceError } from "./wire.js";
import { unzip } from "./zip.js";

export { useKey } from "./wire.js";

const PARTIALS = 3;

/** Open the service: its models by name, and what it can do. */
export async function openService() {
  const cards = (await getJson("v1/models")).data;
  const families = familiesOf(cards);
  const service = { models: families.map(([first]) => first.id), local: false, named: null };
  return Object.assign(service, {
    /** A model and its students, which make the same in fewer network evaluations, whichever of them is named. */
    family: (name) => families.find((members) => members.some((each) => each.id === name)),
    /** What is known of a model, which the requests name from now on where there are several. */
    async use(name) {
      service.named = cards.length > 1 ? name : null;
      const info = await getJson(`v1/models/${encodeURIComponent(name)}`);
      service.classes = info.classes;
      service.conditions = info.conditions;
      return info;
    },
    pictures: (body, options = {}) =>
      options.onPartial ? watched(body, service, options) : pictures(body, service, options),
    interpolated: async (body, { signal } = {}) => {
      const { data, made_by: madeBy } = await (await post("v1/images/interpolations", body, signal)).json();
      return Promise.all(data.map(({ b64_json: text }) => picture(pngOf(text), { seed: body.seed, madeBy })));
    },
    edited: (info, sample, asked, signal) => edited(service, info, sample, asked, signal),
    json: async (path, body, options) => (await post(path, body, options?.signal)).json(),
  });
}

/** The models that are nobody's student, each before its students and theirs. */
function familiesOf(cards) {
  const named = new Map(cards.map((each) => [each.id, each]));
  const students = new Set(cards.flatMap((each) => each.students));
  const members = (card) => [card, ...card.students.flatMap((name) => members(named.get(name)))];
  return cards.filter((each) => !students.has(each.id)).map(members);
}

/** Pictures with their seeds, labels and makers: [{seed, label, attributes, madeBy, image, frames, png()}]. */
async function pictures(body, { conditions }, { signal } = {}) {
  const files = unzip(await (await post("v1/images", { ...body, format: "zip" }, signal)).arrayBuffer());
  const index = JSON.parse(new TextDecoder().decode(files.get("index.json")));
  const named = (told) => told && Object.fromEntries(Object.entries(told).filter(([, value]) => value !== null)
    .map(([name, value]) => [name, conditions[name].classes[value]]));
  return Promise.all(index.pictures.map(({ file, seed, label, attributes }) =>
    picture(new Blob([files.get(file)], { type: "image/png" }), { seed, label, attributes: named(attributes), madeBy: index.made_by })));
}

/** The same pictures, and while they form `onPartial(number, image)`. */
async function watched({ label, attributes, steps, guidance, ...same }, { classes }, { signal, onPartial }) {
  const words = Object.entries(attributes ?? {}).map(([name, value]) => `${name}=${value}`);
  const prompt = [String(label ?? "none"), ...words].join("; ");
  const body = { prompt, ...same, stream: true, partial_images: PARTIALS };
  if (steps !== undefined) body.num_inference_steps = steps;
  if (guidance !== undefined) body.guidance_scale = guidance;
  const answer = await post("v1/images/generations", body, signal);
  const madeBy = Object.fromEntries(["bundle", "sampler", "steps", "guidance"].map((key) => [key, answer.headers.get(`x-${key}`)]));
  const [made, frames] = [[], []];
  for await (const event of events(answer.body)) {
    if (event.error) throw new ServiceError(event.error.code, event.error.message);
    const image = await createImageBitmap(pngOf(event.b64_json));
    const number = event.image_index;
    if (event.type.endsWith("partial_image")) {
      (frames[number] ??= []).push(image);
      onPartial(number, image);
    } else {
      const { label: name, attributes: told } = promptOf(event.revised_prompt, attributes);
      const place = classes.indexOf(name);
      const [blob, own] = [pngOf(event.b64_json), frames[number] ?? []];
      const about = { seed: event.seed, label: place < 0 ? null : place, attributes: told, madeBy };
      made[number] = { ...about, image, frames: own, png: async () => blob };
    }
  }
  return made;
}

/** The class and the attributes in a prompt, where some were asked for. */
function promptOf(text, asked) {
  if (!asked) return { label: text };
  const [label, ...words] = text.split("; ");
  return { label, attributes: Object.fromEntries(words.map((word) => word.split("="))) };
}

/** The events of a stream, as JSON. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (text + part.value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("");
      if (data) yield JSON.parse(data);
    }
  }
}
