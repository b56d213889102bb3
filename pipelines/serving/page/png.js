// A picture as the page keeps it: something to draw, and its PNG.

export async function picture(blob, about) {
  return { ...about, image: await createImageBitmap(blob), png: async () => blob };
}

/** A PNG from its base64 text. */
export function pngOf(text) {
  return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}
