// Known cases that are like a slice, from a classifier that knows some. What fails is not told: the
// answer stands without them.

import { formOf, keyOf } from "./queue.js";
import { ask } from "./service.js";

const held = new WeakMap(); // by slice

export async function similarTo(slice, tell) {
  try {
    if (!held.has(slice)) {
      const { similar } = await ask("/similar", formOf(slice.parcel));
      held.set(slice, similar.find((one) => keyOf(one) === slice.key)?.cases ?? []);
    }
    if (held.get(slice).length) tell(held.get(slice));
  } catch {
    held.set(slice, []);
  }
}
