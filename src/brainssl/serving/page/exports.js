// What can be taken along: the answers as JSON, and the view as a picture with its scale.

import { drawScale } from "./compose.js";
import { make } from "./elements.js";
import { formOf } from "./form.js";
import { scale } from "./overlay.js";
import { ask } from "./service.js";
import { READ, REFUSED } from "./store.js";
import { say, share } from "./words.js";

const SIDE = 1024;
const ROW = 34; // pixels of a line below the slice

// All that was said, with the names that files have here.
export function saveJson(store) {
  const { model } = store;
  const named = ({ entry, said }) => ({ ...said, file: entry.name });
  const told = {
    notice: say("notice"),
    saved: new Date().toISOString(),
    model,
    predictions: store.entries.filter(({ state }) => state === READ)
      .flatMap(({ slices }) => slices.map(named)),
    unread: store.entries.filter(({ state }) => state === REFUSED)
      .map(({ name, error }) => ({ file: name, error })),
  };
  const written = JSON.stringify(told, null, 2);
  return save(new Blob([written], { type: "application/json" }), "brainssl.json");
}

// The view as it is, what was said of it, the scale of its map, and the notice.
export async function savePicture(store, viewer) {
  const lines = [place(store.slice), scale(viewer), say("notice")].filter(Boolean);
  const canvas = make("canvas", { width: SIDE, height: SIDE + ROW * lines.length + ROW / 2 });
  const context = canvas.getContext("2d");
  context.fillStyle = "black";
  context.fillRect(0, 0, canvas.width, canvas.height);
  viewer.paint(context, SIDE);
  context.fillStyle = "black"; // what is zoomed reaches below
  context.fillRect(0, SIDE, canvas.width, canvas.height);
  context.fillStyle = "white";
  context.font = "22px system-ui, sans-serif";
  lines.forEach((text, at) => context.fillText(text, 12, SIDE + ROW * (at + 0.8), SIDE - 24));
  if (viewer.overlay) {
    const bar = make("canvas", { width: 320, height: 18 });
    drawScale(bar, viewer.opacity);
    context.drawImage(bar, SIDE - 332, SIDE + ROW + 10);
  }
  const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  return save(blob, "brainssl.png");
}

// Whether a slice is of DICOM files: only those have a study that a map can belong to.
export const isDicom = ({ number, entry }) => number !== null && !/\.nii(\.gz)?$/i.test(entry.name);

// The map of a slice for a hospital's viewer. It bears what the files say of the patient.
export async function saveDicom({ parcel, said, number }, { method, label }, waits) {
  const fields = { method, file: said.file, slice: number };
  const form = formOf(parcel, label ? { ...fields, label } : fields);
  return save(await ask("/dicom", form, waits, { read: (answer) => answer.blob() }), "brainssl-dicom.zip");
}

const place = ({ said }) => say("entry_says", { label: said.label, share: share(said.probability) });

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return name;
}
