// The view of pictures: a grid of samples, one of which can be opened.

import { openDetail } from "./detail.js";
import { download, el, plural } from "./dom.js";
import { attributeChoices, classChoice, settings } from "./settings.js";
import { tileList } from "./tiles.js";

export function picturesView(service, info, { controls, results, detail }) {
  const labels = info.classes.length ? classChoice(info) : null;
  const attributes = attributeChoices(info);
  const status = el("p", { class: "status", role: "status" });
  const save = el("button", { type: "button", class: "ghost", hidden: true }, "Download grid");
  const empty = el("p", { class: "empty" }, "Nothing yet. Choose what to make, then press Generate.");
  let drawn = null;
  const tiles = tileList(info, {
    onpick(sample, tile) {
      if (picking) {
        picking(sample);
        return;
      }
      tiles.press(tile);
      openDetail(context, sample, { back: tile });
    },
  });
  let picking = null;
  const context = {
    service, info, detail,
    /** Let the next click on the grid choose a sample for `chosen`; null ends it. */
    pickInGrid(chosen) {
      picking = chosen;
      results.classList.toggle("picking", Boolean(chosen));
      if (chosen) results.scrollIntoView({ block: "nearest" });
    },
    closed: () => tiles.press(null),
    use(sample) {
      form.fields.seed.set(sample.seed);
      labels?.set(sample.label === null ? "none" : info.classes[sample.label]);
      attributes.set(sample.attributes);
      controls.scrollIntoView({ block: "nearest" });
      form.fields.seed.input.focus({ preventScroll: true });
    },
  };

  const form = settings(service, info, {
    first: labels ? [labels] : [], own: attributes.fields, n: first(info), most: 64, word: "Generate",
    async submit(values, signal) {
      const asked = attributes.read();
      const body = { ...(labels ? { label: labels.get() } : {}), ...(asked ? { attributes: asked } : {}), ...values };
      const began = performance.now();
      empty.remove();
      save.hidden = true;
      status.textContent = `Making ${plural(values.n, "picture")}…`;
      tiles.expect(values.n);
      try {
        const made = await service.pictures(body, {
          signal,
          onPartial: (number, image, progress) => {
            tiles.partial(number, image);
            if (progress) status.textContent = `Making ${plural(values.n, "picture")}: ${progress}`;
          },
        });
        drawn = made;
        made.forEach((sample, number) => {
          sample.body = alone(body, sample, info);
          tiles.show(number, sample);
        });
        const seconds = ((performance.now() - began) / 1000).toFixed(1);
        status.textContent = `${plural(made.length, "picture")} in ${seconds} s. Choose one to vary it.`;
        save.hidden = false;
      } catch (error) {
        status.textContent = error.name === "AbortError" ? "Cancelled." : "No pictures: see the message beside the form.";
        tiles.trim();
        throw error;
      }
    },
  });
  save.addEventListener("click", () => saveGrid(drawn));
  controls.replaceChildren(el("h2", {}, "Make pictures"), form.element);
  results.replaceChildren(el("div", { class: "row spread head" }, status, save), empty, tiles.element);
  form.run();
}

/** How many to show at the opening: one of each class, few enough to be there at once. */
function first(info) {
  return info.classes.length > 1 && info.classes.length <= 12 ? info.classes.length : 8;
}

/** The request for one sample of a request alone, which gives the same bytes. */
function alone(body, sample, info) {
  const { n: _, attributes: __, ...rest } = body;
  const label = info.classes.length ? { label: sample.label === null ? "none" : info.classes[sample.label] } : {};
  const attributes = sample.attributes ? { attributes: sample.attributes } : {};
  return { ...rest, ...label, ...attributes, n: 1, seed: sample.seed };
}

/** All pictures in one PNG, as they are shown. */
async function saveGrid(samples) {
  const { width, height } = samples[0].image;
  const columns = Math.ceil(Math.sqrt(samples.length));
  const canvas = el("canvas", { width: columns * width, height: Math.ceil(samples.length / columns) * height });
  const pen = canvas.getContext("2d");
  samples.forEach(({ image }, at) => pen.drawImage(image, (at % columns) * width, Math.floor(at / columns) * height));
  canvas.toBlob((blob) => download(blob, "grid.png"), "image/png");
}
