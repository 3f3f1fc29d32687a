// What the page holds: files, what was said of them, and which slice is looked at. In memory alone.

export const WAITING = "waiting";
export const SENDING = "sending";
export const READ = "read";
export const REFUSED = "refused"; // for what it is
export const FAILED = "failed"; // for a fault of the service: it can be sent again

// Events: `entries` (files or what was said of them changed), `at` (another slice is looked at).
export class Store extends EventTarget {
  model = null;
  entries = []; // {id, file, name, folder, looked, state, error, slices: [slice]}
  series = []; // what was said of whole series, each with its slices
  at = 0; // of `slices`
  #next = 0;

  // All slices in order, each {entry, parcel, key, number, said}: `parcel` are the entries that
  // were read together and `key` tells the slice in every answer about them.
  get slices() {
    return this.entries.flatMap((entry) => entry.slices);
  }

  get slice() {
    return this.slices[this.at] ?? null;
  }

  add(files) {
    for (const { file, name, folder } of files) {
      const id = this.#next++;
      this.entries.push({ id, file, name, folder, state: WAITING, error: "", slices: [] });
    }
    this.changed();
  }

  clear() {
    this.entries = [];
    this.series = [];
    this.at = 0;
    this.changed();
    this.dispatchEvent(new Event("at"));
  }

  changed() {
    this.dispatchEvent(new Event("entries"));
  }

  goTo(at) {
    const last = this.slices.length - 1;
    const next = Math.max(0, Math.min(last, at));
    if (next === this.at) return;
    this.at = next;
    this.dispatchEvent(new Event("at"));
  }

  goToSlice(slice) {
    this.goTo(this.slices.indexOf(slice));
  }

  count(state) {
    return this.entries.filter((entry) => entry.state === state).length;
  }
}
