// Files go to the service in parts that it takes, one after the other, and their slices come back.

import { formOf, keyOf, sentName } from "./form.js";
import { lookInto } from "./headers.js";
import { isPicture, nextPart, parcelOf, tooLarge } from "./parts.js";
import { seriesOf } from "./reading.js";
import { ask } from "./service.js";
import { FAILED, READ, REFUSED, SENDING, WAITING } from "./store.js";
import { number, say } from "./words.js";

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
    const { store } = this;
    for (;;) {
      await this.#look();
      const part = nextPart(store.entries, store.model.bounds);
      if (!part.length) break;
      for (const entry of part) entry.state = SENDING;
      store.changed();
      this.status(say("status_sending", { count: part.length }));
      try {
        await this.#ask(part);
      } catch (fault) {
        if (!this.#settled(part.filter(({ state }) => state === SENDING), fault)) {
          this.status("");
          this.problem.show(fault.message, () => this.send());
          return;
        }
      }
      store.changed();
    }
    this.status(say("status_done", { read: store.count(READ), refused: store.count(REFUSED) }));
    this.#tellFailed();
  }

  // See of files that came what they hold, and refuse those that no request may hold.
  async #look() {
    const { entries, model: { bounds } } = this.store;
    for (const entry of entries.filter(({ state }) => state === WAITING)) {
      if (tooLarge(entry, bounds)) {
        const most = number(bounds.max_bytes / 2 ** 20);
        Object.assign(entry, { state: REFUSED, error: say("entry_too_large", { most }) });
        continue;
      }
      try {
        entry.looked ??= await lookInto(entry.file);
      } catch {
        Object.assign(entry, { state: REFUSED, error: say("fault_read") });
      }
    }
  }

  // Ask about a part. One of pictures that is more than the service can do goes in halves.
  async #ask(part) {
    const parted = part.length > 1 && part.every(isPicture);
    let answer = null;
    try {
      answer = await ask("/predict", formOf(part), this.problem.waits, { less: parted });
    } catch (fault) {
      if (!parted || ![413, 503].includes(fault.status) || fault.files.length) throw fault;
      const half = Math.ceil(part.length / 2);
      await this.#ask(part.slice(0, half));
      await this.#ask(part.slice(half));
      return;
    }
    this.#take(part, answer);
    this.store.changed();
  }

  #take(part, answer) {
    if (!this.store.entries.includes(part[0])) return; // removed while they were sent
    const first = !this.store.slices.length;
    const byName = new Map(part.map((entry) => [sentName(entry), entry]));
    const bad = answer.predictions.filter((said) => "error" in said);
    for (const { file, error } of bad) {
      Object.assign(byName.get(file) ?? part[0], { state: REFUSED, error });
    }
    const kept = part.filter(({ state }) => state !== REFUSED);
    for (const said of answer.predictions.filter((one) => !("error" in one))) {
      const entry = byName.get(said.file) ?? part[0];
      entry.slices.push({
        entry, parcel: parcelOf(entry, kept), key: keyOf(said), number: said.slice, said,
      });
    }
    this.#order(part, answer.predictions.map(({ file }) => byName.get(file)));
    for (const entry of part) if (entry.state === SENDING) entry.state = READ;
    const series = seriesOf(answer, part.flatMap((entry) => entry.slices));
    for (const one of series) one.cut = one.slices.some(({ entry }) => entry.cut);
    this.store.series.push(...series);
    const decided = series[0]?.decided;
    if (first && decided) this.store.at = this.store.slices.indexOf(decided);
  }

  // Let files stand as their slices were told: those of a series by position, whatever their names.
  #order(part, told) {
    const { entries } = this.store;
    const places = part.map((entry) => entries.indexOf(entry)).sort((one, other) => one - other);
    const inOrder = [...new Set([...told, ...part])].filter(Boolean);
    inOrder.forEach((entry, at) => { entries[places[at]] = entry; });
  }

  // Tell of each file why it has no answer: refused for what it is, or failed, which the next part
  // need not. False where the service cannot be asked at all: then all wait on.
  #settled(part, fault) {
    const about = [413, 415, 422].includes(fault.status);
    const ended = [0, 401, 429, 503].includes(fault.status);
    const reasons = new Map(fault.files?.map(({ file, error }) => [file, error]));
    for (const entry of part) {
      const error = reasons.get(sentName(entry)) ?? fault.message;
      const state = about ? REFUSED : ended ? WAITING : FAILED;
      Object.assign(entry, { state, error: state === WAITING ? "" : error });
    }
    this.store.changed();
    return !ended;
  }

  #tellFailed() {
    const failed = this.store.entries.filter(({ state }) => state === FAILED);
    if (!failed.length) return;
    const told = say("failed", { count: failed.length, error: failed[0].error });
    this.problem.show(told, () => {
      for (const entry of failed) if (entry.state === FAILED) entry.state = WAITING;
      this.store.changed();
      return this.send();
    });
  }
}
