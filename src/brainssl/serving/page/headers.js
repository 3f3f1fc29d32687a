// What a file holds, by its first bytes: those of one series go together, and no request holds more
// slices than the service takes. Nothing of this is sent or shown.

const PICTURES = /^(\x89PNG|\xff\xd8\xff|II[*+]\0|MM\0[*+]|BM|GIF8|RIFF....WEBP|....ftypavi[fs])/s;
const CALLED = /\.(png|jpe?g|jpe|jfif|tiff?|bmp|dib|webp|gif|avif)$/i; // what is damaged, too
const BEGIN = 2 ** 17; // bytes; what is looked for stands before private headers and pixels
const LONG = new Set("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split(" ")); // with four bytes of length
const [SYNTAX, SERIES, FRAMES] = [0x00020010, 0x0020000e, 0x00280008];
const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const IMPLICIT = "1.2.840.10008.1.2";
const OTHERS = ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]; // big-endian, deflated
const UNTOLD = 0xffffffff;

// {kind, series, slices}: "picture", "nifti" or "dicom", which is also what is not known; `series`
// is "" where that is not told, and of slices there may be more.
export async function lookInto(file) {
  const begun = new DataView(await file.slice(0, BEGIN).arrayBuffer());
  if (text(begun, 128, 4) === "DICM") return dicom(begun);
  if (/\.nii(\.gz)?$/i.test(file.name) || ["n+1", "ni1"].includes(text(begun, 344, 3))) {
    return { kind: "nifti", series: "", slices: 1 };
  }
  const begin = String.fromCharCode(...new Uint8Array(begun.buffer, 0, Math.min(12, begun.byteLength)));
  const picture = PICTURES.test(begin) || CALLED.test(file.name);
  return { kind: picture ? "picture" : "dicom", series: "", slices: 1 };
}

function dicom(view) {
  const found = { kind: "dicom", series: "", slices: 1 };
  let [at, syntax] = [132, ""];
  try {
    while (at < view.byteLength) {
      const meta = view.getUint16(at, true) === 2;
      if (!meta && OTHERS.includes(syntax)) break;
      const explicit = meta || syntax !== IMPLICIT;
      const one = element(view, at, explicit);
      if (one.tag > FRAMES) break;
      if (one.tag === SYNTAX) syntax = text(view, one.value, one.length);
      if (one.tag === SERIES) found.series = text(view, one.value, one.length);
      if (one.tag === FRAMES) found.slices = parseInt(text(view, one.value, one.length), 10) || 1;
      at = after(view, one, explicit);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it is cut short, or damaged
  }
  return found;
}

function element(view, at, explicit) {
  const tag = view.getUint16(at, true) * 2 ** 16 + view.getUint16(at + 2, true);
  if (!explicit || tag >= ITEM) return { tag, length: view.getUint32(at + 4, true), value: at + 8 };
  if (LONG.has(text(view, at + 4, 2))) {
    return { tag, length: view.getUint32(at + 8, true), value: at + 12 };
  }
  return { tag, length: view.getUint16(at + 6, true), value: at + 8 };
}

// Where the next element begins; a sequence may say by a mark alone where it ends.
function after(view, one, explicit) {
  if (one.length !== UNTOLD) return one.value + one.length;
  const ends = one.tag === ITEM ? ITEM_END : SEQUENCE_END;
  let at = one.value;
  for (;;) {
    const inner = element(view, at, explicit);
    if (inner.tag === ends) return inner.value;
    at = after(view, inner, explicit);
  }
}

function text(view, at, length) {
  if (at + length > view.byteLength) return "";
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
  return String.fromCharCode(...bytes).replace(/[\0 ]+$/, "");
}
