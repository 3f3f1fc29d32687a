// Slices as the classifier sees them, with their maps: asked for as they are looked at, and kept.

import { composed } from "./compose.js";
import { formOf, keyOf } from "./queue.js";
import { ask } from "./service.js";

const KEPT = 48; // answers; one holds the slices of a parcel

export class Explanations {
  #asked = new Map();

  constructor(waits) {
    this.waits = waits;
  }

  // {grey, map, size, peak, method, label}, of a slice; `label` "" is the class predicted.
  async of(slice, method, label) {
    const answer = await this.#answer(slice.parcel, method, label);
    const item = answer.get(slice.key);
    if (!item) throw new Error("the service left it out");
    item.pixels ??= decoded(item);
    return item.pixels;
  }

  forget() {
    this.#asked.clear();
  }

  #answer(parcel, method, label) {
    const key = JSON.stringify([parcel.map((entry) => entry.id), method, label]);
    const held = this.#asked.get(key) ?? this.#ask(parcel, method, label);
    this.#asked.delete(key); // to the end, as the youngest
    this.#asked.set(key, held);
    held.catch(() => this.#asked.delete(key));
    for (const oldest of this.#asked.keys()) {
      if (this.#asked.size <= KEPT) break;
      this.#asked.delete(oldest);
    }
    return held;
  }

  async #ask(parcel, method, label) {
    const form = formOf(parcel, label ? { method, label } : { method });
    const { explanations } = await ask("/explain", form, this.waits);
    return new Map(explanations.filter((one) => !one.error).map((one) => [keyOf(one), one]));
  }
}

async function decoded({ image, map, size, peak, method, label }) {
  const bitmap = await createImageBitmap(new Blob([bytes(image)], { type: "image/png" }));
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, size, size);
  const grey = Uint8Array.from({ length: size * size }, (_, at) => data[4 * at]);
  return { grey, map: floats(map), size, peak, method, label };
}

// A slice and its map as a picture of its own size.
export function pictureOf(seen, { window, opacity, overlay }) {
  const canvas = new OffscreenCanvas(seen.size, seen.size);
  const pixels = composed(seen.grey, overlay ? seen.map : null, window, opacity);
  canvas.getContext("2d").putImageData(new ImageData(pixels, seen.size, seen.size), 0, 0);
  return canvas;
}

const bytes = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

// Little-endian, whatever this machine is.
function floats(base64) {
  const view = new DataView(bytes(base64).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, at) => view.getFloat32(4 * at, true));
}
