// Which map lies over the slice, how strongly, and its scale.

import { drawScale } from "./compose.js";
import { byId, make } from "./elements.js";
import { number, rough, say } from "./words.js";

// `again` is called when another map is wanted, or none.
export function bindOverlay(viewer, again) {
  const [tick, method, label, opacity] = ["overlay", "method", "label", "opacity"].map(byId);
  const told = () => {
    byId("opacity-told").textContent = say("share", { value: number(opacity.value) });
    byId("scale").hidden = !viewer.overlay || !viewer.map;
    byId("scale-peak").textContent = scale(viewer);
    if (viewer.overlay) drawScale(byId("scale-bar"), viewer.opacity);
  };
  const toggle = (on) => {
    tick.checked = on;
    viewer.set({ overlay: on });
    again();
  };
  const chosen = () => toggle(true);
  tick.addEventListener("change", () => toggle(tick.checked));
  method.addEventListener("change", chosen);
  label.addEventListener("change", chosen);
  opacity.addEventListener("input", () => viewer.set({ opacity: opacity.value / 100 }));
  viewer.addEventListener("view", told);
  told();

  return {
    asked: () => ({ method: method.value, label: label.value }),
    toggle: () => toggle(!tick.checked),
    next: () => {
      method.selectedIndex = (method.selectedIndex + 1) % method.options.length;
      chosen();
    },
    offer: (model) => {
      const named = model.methods.map((value) => ({ value, text: say(`methods.${value}`) }));
      method.replaceChildren(...named.map((one) => make("option", one)));
      const classes = model.classes.map((text) => ({ value: text, text }));
      const whole = [{ value: "", text: say("predicted") }, ...classes];
      label.replaceChildren(...whole.map((one) => make("option", one)));
    },
  };
}

// Which map lies over the slice, and its peak; empty where none does.
export function scale({ overlay, map }) {
  if (!overlay || !map) return "";
  const flat = map.map.every((value) => value === map.map[0]);
  const told = flat ? "scale_flat" : "scale_peak";
  const peak = map.peak > 0 ? say(told, { peak: rough(map.peak) }) : say("scale_empty");
  return say("scale_method", { method: say(`methods.${map.method}`), label: map.label, peak });
}
