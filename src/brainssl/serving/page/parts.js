// Which files go to the service together, within what it takes.

import { WAITING } from "./store.js";

const BESIDE = 512; // bytes of a form beside each file
const PICTURES = 64; // of a part, so that answers come bit by bit

export const tooLarge = (entry, bounds) => entry.file.size + 2 * BESIDE > bounds.max_bytes;

// The next of those that wait: pictures as many as fit; of volumes one, which of DICOM are the files
// of a series, as its slices belong together. A series that does not fit is cut: `cut` of its
// entries says so.
export function nextPart(entries, bounds) {
  const waiting = entries.filter(({ state }) => state === WAITING);
  const [first] = waiting;
  if (!first) return [];
  if (first.looked.kind === "nifti") return [first];
  const picture = first.looked.kind === "picture";
  const together = picture ? begun(waiting, isPicture) : waiting.filter((one) => alike(one, first));
  const part = fitting(together, bounds, picture ? PICTURES : Infinity);
  if (!picture && part.length < together.length) for (const one of together) one.cut = true;
  return part;
}

export const isPicture = (entry) => entry.looked.kind === "picture";

// Those that are asked about when a slice of an entry is.
export function parcelOf(entry, part) {
  return entry.looked.kind === "dicom" ? part : [entry];
}

const alike = (one, other) => one.looked.kind === other.looked.kind
  && one.looked.series === other.looked.series && one.folder === other.folder;

function begun(entries, condition) {
  const other = entries.findIndex((one) => !condition(one));
  return other < 0 ? entries : entries.slice(0, other);
}

// As many as fit, the first in any case.
function fitting(entries, bounds, most) {
  let [bytes, slices] = [BESIDE, 0];
  const over = entries.findIndex((entry, at) => {
    bytes += entry.file.size + BESIDE;
    slices += entry.looked.slices;
    return at > 0 && (at >= Math.min(most, bounds.max_files) || bytes > bounds.max_bytes
      || slices > bounds.max_slices);
  });
  return over < 0 ? entries : entries.slice(0, over);
}
