// Slices at their own resolution: asked for as they are looked at, those near them too, and kept.

import { uint16s } from "./numbers.js";
import { formOf, keyOf } from "./form.js";
import { ask } from "./service.js";

const KEPT = 32 * 2 ** 20; // pixels
const ALL = 999999;

export class OwnSlices {
  #held = new Map(); // by key, which no two slices share; the oldest first
  #pixels = 0;
  #asking = new Map(); // by the first file of a parcel
  #areas = new WeakMap(); // pixels of a slice, by parcel

  constructor(store, waits) {
    this.store = store;
    this.waits = waits;
  }

  // {width, height, levels, slope, intercept, black, white, units, spacing, place, size}.
  async of(slice) {
    const { parcel, key } = slice;
    const held = () => this.#touched(key);
    if (!held()) await this.#asking.get(parcel[0])?.catch(() => {}); // may bring it
    if (!held()) {
      const asking = this.#ask(slice);
      this.#asking.set(parcel[0], asking);
      await asking.finally(() => {
        if (this.#asking.get(parcel[0]) === asking) this.#asking.delete(parcel[0]);
      });
    }
    const one = held();
    if (!one) throw new Error("the service left it out");
    one.levels ??= uint16s(one.pixels);
    one.pixels = "";
    return one;
  }

  forget() {
    this.#held.clear();
    this.#pixels = 0;
  }

  #touched(key) {
    const one = this.#held.get(key);
    if (one) {
      this.#held.delete(key); // to the end, as the youngest
      this.#held.set(key, one);
    }
    return one;
  }

  async #ask(slice) {
    const { slices } = await ask("/slices", formOf(slice.parcel, this.#near(slice)), this.waits);
    for (const one of slices.filter((each) => !each.error)) {
      const key = keyOf(one);
      if (this.#held.has(key)) continue;
      this.#held.set(key, one);
      this.#pixels += one.width * one.height;
      this.#areas.set(slice.parcel, one.width * one.height);
    }
    this.#touched(slice.key);
    for (const [key, one] of this.#held) {
      if (this.#pixels <= KEPT || key === slice.key) break;
      this.#held.delete(key);
      this.#pixels -= one.width * one.height;
    }
  }

  // As many as there is room for in an answer: on from those that are held already, or about it.
  #near({ number, parcel, said }) {
    if (number === null) return {};
    const area = this.#areas.get(parcel);
    if (!area) return { slices: `${number}-${ALL}` };
    const count = Math.max(1, Math.floor(this.store.model.bounds.max_shown / area));
    const holds = (other) => this.#held.has(keyOf({ file: said.file, slice: other }));
    const before = holds(number - 1) ? 0 : holds(number + 1) ? count - 1 : Math.floor(count / 2);
    const first = Math.max(1, number - before);
    return { slices: `${first}-${first + count - 1}` };
  }
}
