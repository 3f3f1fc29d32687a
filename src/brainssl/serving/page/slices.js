// From slice to slice, and the tools of the view.

import { byId } from "./elements.js";
import { bindGestures } from "./gestures.js";
import { number, say, share, valueOf } from "./words.js";

export function bindSlices(store, viewer, overlay) {
  const slider = byId("slice");
  const tool = () => document.querySelector("[name=tool]:checked").value;
  const tell = () => {
    const { slice, slices, at } = store;
    const count = slices.length;
    byId("slice-row").hidden = count < 2;
    slider.max = Math.max(1, count);
    slider.value = at + 1;
    byId("slice-told").textContent = say("slice_told", { at: at + 1, count });
    slider.setAttribute("aria-valuetext", byId("slice-told").textContent);
    if (!slice) return;
    const { name } = slice.entry;
    const size = viewer.own ? say("pixels", viewer.own) : "";
    const place = slice.number === null
      ? say("place", { name }) : say("place_slice", { name, number: slice.number });
    byId("place").textContent = [place, size].filter(Boolean).join(" · ");
    const { label, probability } = slice.said;
    const told = say("view_told", { at: at + 1, count, name, label, share: share(probability) });
    byId("canvas").setAttribute("aria-description", told);
  };
  store.addEventListener("entries", tell);
  store.addEventListener("at", () => {
    tell();
    if (store.slice) byId("status").textContent = byId("canvas").getAttribute("aria-description");
  });
  slider.addEventListener("input", () => store.goTo(slider.value - 1));
  viewer.addEventListener("view", () => {
    const { own, values } = viewer;
    byId("windowing").textContent = own ? say("windowing", {
      window: valueOf(values.width, own),
      level: valueOf(values.level, own),
      zoom: number(viewer.zoom, 1),
    }) : "";
    tell();
    viewer.canvas.dataset.zoomed = viewer.zoom > 1;
  });
  byId("zoom-in").addEventListener("click", () => viewer.zoomBy(1.2));
  byId("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.2));
  byId("reset").addEventListener("click", () => viewer.reset());
  bindGestures(viewer, { tool, several: () => store.slices.length > 1 }, {
    slice: (by) => store.goTo(store.at + by),
    to: (at) => store.goTo(at),
    method: overlay.next,
    overlay: overlay.toggle,
    reset: () => viewer.reset(),
    tool: () => {
      document.querySelector(`[name=tool]:not([value=${tool()}])`).checked = true;
    },
  });
  viewer.reset();
}
