// What OpenAI's Node client gets from a server: `node openai_client.js ADDRESS PICTURE.png MASK.png` prints it as JSON.
const fs = require("fs");
const { OpenAI, toFile } = require("openai");

async function events(stream) {
  const found = [];
  for await (const event of stream) found.push({ type: event.type, b64_json: event.b64_json });
  return found;
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    const { status, param, code, type } = error;
    return { name: error.constructor.name, status, param, code, type };
  }
}

async function main([address, picture, mask]) {
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "any", maxRetries: 0 });
  const { images } = client;
  const png = (path) => toFile(fs.createReadStream(path), "file.png", { type: "image/png" });
  const edit = async (more) => ({ image: await png(picture), prompt: "1", num_inference_steps: 4, ...more });
  const steps = { prompt: "two,none", num_inference_steps: 6 };
  return {
    generated: (await images.generate({ ...steps, n: 3, seed: 7, size: "8x8" })).data,
    streamed: await events(await images.generate({ ...steps, stream: true, partial_images: 2 })),
    filled: (await images.edit(await edit({ mask: await png(mask), sampler: "ddim", resample: 2, n: 2 }))).data,
    varied: (await images.edit(await edit({ image: [await png(picture)], strength: 0.5 }))).data,
    edited: await events(await images.edit(await edit({ mask: await png(mask), stream: true, partial_images: 1 }))),
    style: await refusal(() => images.generate({ prompt: "1", style: "vivid" })),
    colour: await refusal(async () => images.edit(await edit({ colour: "red" }))),
    model: await refusal(() => images.generate({ prompt: "1", model: "gpt-image-2" })),
    models: (await client.models.list()).data.map((model) => model.id),
  };
}

main(process.argv.slice(2)).then((found) => console.log(JSON.stringify(found)));
