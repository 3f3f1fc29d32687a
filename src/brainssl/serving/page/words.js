// All texts come from texts.json: to translate the page, translate that file, its `lang` too.

const texts = await (await fetch("/page/texts.json")).json();

document.documentElement.lang = texts.lang;
document.title = texts.title;

const plural = new Intl.PluralRules(texts.lang);

// A text by its key ("methods.gradcam"), with what stands in braces filled in.
export function say(key, values = {}) {
  let text = key.split(".").reduce((held, part) => held?.[part], texts);
  if (text && typeof text === "object") text = text[plural.select(values.count)] ?? text.other;
  if (text === undefined) return key.split(".").pop();
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// A list that stands among the texts.
export const sayings = (key) => texts[key];

export function number(value, digits = 0) {
  return new Intl.NumberFormat(texts.lang, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

// Two digits that count, as of a peak that may be very small.
export function rough(value) {
  return new Intl.NumberFormat(texts.lang, { maximumSignificantDigits: 2 }).format(value);
}

// A share in per cent to one decimal. What is not quite all or nothing is never told as that.
export function share(value) {
  const shown = value > 0.9995 && value < 1 ? 0.999 : value < 0.0005 && value > 0 ? 0.001 : value;
  const sign = value < 0.0005 && value > 0 ? "< " : value > 0.9995 && value < 1 ? "> " : "";
  return say("share", { value: sign + number(100 * shown, 1) });
}

// A value of a slice: in its own units, as fine as its window asks for, or in per cent.
export function valueOf(value, { units, black, white }) {
  if (units === "share") return say("share", { value: number(100 * value) });
  return number(value, Math.max(0, 2 - Math.floor(Math.log10(white - black || 1))));
}

export function fillTexts(root) {
  for (const one of root.querySelectorAll("[data-text]")) one.textContent = say(one.dataset.text);
  for (const one of root.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", say(one.dataset.label));
  }
}
