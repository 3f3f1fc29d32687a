// Elements are made here, and text goes in as text alone.

export const byId = (id) => document.getElementById(id);

export function make(tag, { text, on, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, act] of Object.entries(on ?? {})) made.addEventListener(event, act);
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

// Draw a part of the page anew: what had the focus in it, what was folded out and how far it was
// scrolled stay, by what elements are called in `data-keep`.
export function redrawn(where, draw) {
  const focused = where.contains(document.activeElement) && document.activeElement.dataset.keep;
  const open = [...where.querySelectorAll("details[data-keep][open]")].map((one) => one.dataset.keep);
  const scrolled = where.scrollTop;
  draw();
  for (const one of where.querySelectorAll("[data-keep]")) {
    if (open.includes(one.dataset.keep)) one.open = true;
    if (focused && one.dataset.keep === focused) one.focus({ preventScroll: true });
  }
  where.scrollTop = scrolled;
}
