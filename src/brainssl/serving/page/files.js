// The list of files: what was read, and what was refused with its reason.

import { byId, make, redrawn } from "./elements.js";
import { FAILED, READ, REFUSED, SENDING, WAITING } from "./store.js";
import { say, share } from "./words.js";

export function bindFiles(store) {
  const list = byId("list");
  store.addEventListener("entries", () => show(store, list));
  store.addEventListener("at", () => mark(store, list));
  byId("clear").addEventListener("click", () => {
    store.clear();
    byId("choose").focus();
  });
}

function show(store, list) {
  const some = store.entries.length > 0;
  for (const id of ["list", "tally", "clear"]) byId(id).hidden = !some;
  document.body.classList.toggle("busy", some);
  byId("tally").textContent = say("tally", {
    read: store.count(READ),
    refused: store.count(REFUSED),
    waiting: store.count(WAITING) + store.count(SENDING) + store.count(FAILED),
  });
  redrawn(list, () => list.replaceChildren(...store.entries.map((entry) => item(store, entry))));
  mark(store, list);
}

function item(store, entry) {
  const told = make("span", { class: "told", text: says(entry) });
  if (!entry.slices.length) {
    return make("li", { class: entry.state }, name(entry), told);
  }
  const go = make("button", {
    type: "button",
    "data-keep": String(entry.id),
    on: { click: () => store.goToSlice(entry.slices[0]) },
  }, name(entry), told);
  return make("li", { class: entry.state }, go);
}

// Cut where it is too long; the pointer shows it whole.
const name = (entry) => make("span", { class: "name", text: entry.name, title: entry.name });

function says(entry) {
  if (entry.state === WAITING) return say("entry_waiting");
  if (entry.state === SENDING) return say("entry_sending");
  if (entry.state === FAILED) return say("entry_failed", { error: entry.error });
  if (entry.state === REFUSED) return say("entry_refused", { error: entry.error });
  if (entry.slices.length === 0) return say("entry_part");
  if (entry.slices.length > 1) return say("entry_read", { count: entry.slices.length });
  const { label, probability } = entry.slices[0].said;
  return say("entry_says", { label, share: share(probability) });
}

function mark(store, list) {
  const id = String(store.slice?.entry.id);
  for (const go of list.querySelectorAll("button")) {
    const now = go.dataset.keep === id;
    if (now) go.setAttribute("aria-current", "true");
    else go.removeAttribute("aria-current");
    if (now && list.dataset.at !== id) nearest(list, go); // else it is left where it is scrolled to
  }
  list.dataset.at = id;
}

// Scroll the list alone, never the page.
function nearest(list, go) {
  const [top, end] = [go.offsetTop - list.offsetTop, go.offsetTop - list.offsetTop + go.offsetHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
}
