// Maps of slices: those of one slice at a time, all kinds at once, as they are looked at; and kept.

import { floats } from "./numbers.js";
import { formOf, keyOf } from "./form.js";
import { ask } from "./service.js";

const KEPT = 64; // slices

export class Explanations {
  #asked = new Map();
  #at = Promise.resolve();
  #wanted = "";

  constructor(waits) {
    this.waits = waits;
  }

  // {map, size, peak, method, label}, of a slice; `label` "" is the class predicted. Who is asked for
  // another slice while this one waits for its turn leaves it out: it throws.
  async of(slice, method, label) {
    const key = JSON.stringify([slice.key, label]);
    this.#wanted = key;
    const held = this.#asked.get(key) ?? this.#ask(key, slice, label);
    this.#asked.delete(key); // to the end, as the youngest
    this.#asked.set(key, held);
    held.catch(() => this.#asked.delete(key));
    for (const oldest of this.#asked.keys()) {
      if (this.#asked.size <= KEPT) break;
      this.#asked.delete(oldest);
    }
    const made = (await held).find((one) => one.method === method);
    if (!made) throw new Error("the service left it out");
    if (typeof made.map === "string") made.map = floats(made.map);
    return made;
  }

  forget() {
    this.#asked.clear();
  }

  async #ask(key, slice, label) {
    const before = this.#at;
    let end = null;
    this.#at = new Promise((resolve) => { end = resolve; });
    try {
      await before;
      if (key !== this.#wanted) throw new Error("another slice is looked at");
      const fields = { method: "all" };
      if (label) fields.label = label;
      if (slice.number !== null) fields.slices = String(slice.number);
      const { explanations } = await ask("/explain", formOf(slice.parcel, fields), this.waits);
      return explanations.filter((one) => !one.error && keyOf(one) === slice.key)
        .map(({ map, size, peak, method, label: of }) => ({ map, size, peak, method, label: of }));
    } finally {
      end();
    }
  }
}
