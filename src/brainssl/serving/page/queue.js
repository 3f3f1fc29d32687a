// Files go to the service in parts that it takes, one after the other, and their slices come back.

import { seriesOf } from "./reading.js";
import { ask } from "./service.js";
import { READ, REFUSED, SENDING, WAITING } from "./store.js";
import { number, say } from "./words.js";

const BESIDE = 512; // bytes of a form beside each file
const PICTURES = /\.(png|jpe?g|tiff?|bmp|webp|gif|avif)$/i;

// The name under which a file is sent. Its own may name a patient: that stays in the browser.
export const sentName = (entry) => {
  const suffix = /(\.nii)?\.[a-z0-9]{1,5}$/i.exec(entry.name)?.[0] ?? "";
  return `${String(entry.id).padStart(4, "0")}${suffix.toLowerCase()}`;
};

export function formOf(entries, fields = {}) {
  const form = new FormData();
  for (const entry of entries) form.append("files", entry.file, sentName(entry));
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

export class Queue {
  #at = null;

  constructor(store, problem, status) {
    this.store = store;
    this.problem = problem;
    this.status = status;
  }

  // Send all that waits; who calls while it does waits for the same.
  send() {
    this.#at ??= this.#send().finally(() => { this.#at = null; });
    return this.#at;
  }

  async #send() {
    for (let part = this.#part(); part.length; part = this.#part()) {
      for (const entry of part) entry.state = SENDING;
      this.store.changed();
      this.status(say("status_sending", { count: part.length }));
      try {
        const answer = await ask("/predict", formOf(part), this.problem.waits);
        this.#take(part, answer);
      } catch (fault) {
        if (!this.#refuse(part, fault)) {
          this.status("");
          this.problem.show(fault.message, () => this.send());
          return;
        }
      }
      this.store.changed();
    }
    const [read, refused] = [this.store.count(READ), this.store.count(REFUSED)];
    this.status(say("status_done", { read, refused }));
  }

  // The next files that go together: pictures as many as fit; of volumes those of one folder, as
  // the slices of a series belong together.
  #part() {
    const bounds = this.store.model?.bounds ?? { max_files: 16, max_bytes: 2 ** 24 };
    const part = [];
    let bytes = BESIDE;
    for (const entry of this.store.entries) {
      if (entry.state !== WAITING) continue;
      const size = entry.file.size + BESIDE;
      if (size + BESIDE > bounds.max_bytes) {
        const most = number(bounds.max_bytes / 2 ** 20);
        Object.assign(entry, { state: REFUSED, error: say("entry_too_large", { most }) });
        continue;
      }
      const alike = part.every((one) => isPicture(one) === isPicture(entry)
        && (isPicture(entry) || one.folder === entry.folder));
      if (part.length >= bounds.max_files || bytes + size > bounds.max_bytes || !alike) break;
      part.push(entry);
      bytes += size;
    }
    return part;
  }

  #take(part, answer) {
    const byName = new Map(part.map((entry) => [sentName(entry), entry]));
    for (const said of answer.predictions) {
      const entry = byName.get(said.file) ?? part[0];
      if ("error" in said) {
        Object.assign(entry, { state: REFUSED, error: said.error });
        continue;
      }
      entry.slices.push({
        entry,
        parcel: isPicture(entry) ? [entry] : part,
        key: keyOf(said),
        number: said.slice,
        said,
      });
    }
    this.#order(part, answer.predictions.map(({ file }) => byName.get(file)));
    for (const entry of part) if (entry.state === SENDING) entry.state = READ;
    this.store.series.push(...seriesOf(answer, part.flatMap((entry) => entry.slices)));
  }

  // Let files stand as their slices were told: those of a series by position, whatever their names.
  #order(part, told) {
    const { entries } = this.store;
    const places = part.map((entry) => entries.indexOf(entry)).sort((one, other) => one - other);
    if (places[0] < 0) return; // removed while they were sent
    const inOrder = [...new Set([...told, ...part])].filter(Boolean);
    inOrder.forEach((entry, at) => { entries[places[at]] = entry; });
  }

  // A refusal that is about the files is told beside each of them: true. Else they wait on.
  #refuse(part, fault) {
    const about = [413, 415, 422].includes(fault.status);
    const reasons = new Map(fault.files?.map(({ file, error }) => [file, error]));
    for (const entry of part) {
      const error = reasons.get(sentName(entry)) ?? fault.message;
      Object.assign(entry, about ? { state: REFUSED, error } : { state: WAITING });
    }
    this.store.changed();
    return about;
  }
}

export const keyOf = ({ file, slice }) => `${file}#${slice ?? ""}`;

const isPicture = (entry) => PICTURES.test(entry.name);
