// What the classifier says of the slice that is looked at.

import { make, redrawn } from "./elements.js";
import { reading, surestOf } from "./reading.js";
import { number, say, share } from "./words.js";

const FIRST = 6; // classes that are shown before one asks for all

// `jump` goes to a slice.
export function showResults(where, store, jump, cases = null) {
  const { slice, model } = store;
  if (!slice) {
    where.replaceChildren();
    return;
  }
  const read = reading(slice.said);
  const knows = model?.knows ?? {};
  redrawn(where, () => where.replaceChildren(...[
    verdict(read),
    familiarity(read, knows),
    bars(read, knows),
    setOf(read, knows),
    ...factors(read),
    similar(cases ?? read.cases),
    seriesOf(store, slice, jump),
    flags(read),
  ].filter(Boolean)));
}

function verdict({ label, probability }) {
  return make("p", { class: "verdict" },
    make("strong", { text: label }), " ", make("span", { text: share(probability) }));
}

function familiarity({ familiar, why }) {
  if (familiar === null) return make("p", { class: "hint", text: say("familiar_none") });
  const kind = familiar ? "familiar" : "unfamiliar";
  return make("div", { class: kind, role: familiar ? undefined : "note" },
    make("p", { text: say(kind) }), why ? make("p", { class: "why", text: why }) : null);
}

function bars(read, knows) {
  const held = new Set(read.set ?? []);
  const first = read.shares.filter(([label], at) => at < FIRST || held.has(label));
  const list = make("ul", { class: "bars" }, ...first.map((one) => bar(one, held)));
  const title = make("h3", { text: say(knows.calibration ? "calibrated" : "uncalibrated") });
  const rest = read.shares.filter((one) => !first.includes(one));
  if (!rest.length) return make("div", {}, title, list);
  const all = make("details", { "data-keep": "all" },
    make("summary", { "data-keep": "more", text: say("all_classes", { count: read.shares.length }) }),
    make("ul", { class: "bars" }, ...rest.map((one) => bar(one, held))));
  return make("div", {}, title, list, all);
}

function bar([label, value], held = new Set()) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * value}%`;
  return make("li", { class: held.has(label) ? "held" : undefined },
    make("span", { class: "named" }, make("span", { class: "label", text: label }),
      held.has(label) ? make("span", { class: "tag", text: say("in_set") }) : null),
    make("span", { class: "value", text: share(value) }),
    make("span", { class: "track", "aria-hidden": "true" }, fill));
}

function setOf(read, knows) {
  if (read.set === null) {
    return knows.conformal ? null : make("p", { class: "hint", text: say("set_none") });
  }
  const count = read.set.length;
  return make("p", { class: "set", text: count ? say("set_title", { count }) : say("set_empty") });
}

function factors(read) {
  return [["family_title", read.family], ["sequence_title", read.sequence]]
    .filter(([, shares]) => shares.length)
    .map(([title, shares]) => make("div", {}, make("h3", { text: say(title) }),
      make("ul", { class: "bars" }, ...shares.slice(0, 4).map((one) => bar(one)))));
}

function similar(cases) {
  if (!cases.length) return null;
  const told = cases.map(({ id, label, similarity }) => say("similar", {
    id, label, cosine: number(similarity, 2),
  }));
  return make("div", { class: "similar" }, make("h3", { text: say("similar_title") }),
    make("ol", {}, ...told.map((text) => make("li", { text }))));
}

function seriesOf(store, slice, jump) {
  const series = store.series.find((one) => one.slices.includes(slice));
  if (slice.number === null && store.slices.length > 1) {
    return make("p", { class: "hint", text: say("picture_alone") });
  }
  if (!series || series.slices.length < 2) return null;
  const decided = series.decided ?? surestOf(series.slices);
  const place = decided.number ?? series.slices.indexOf(decided) + 1;
  const { label, probability } = decided.said;
  const told = series.decided ? say("decided", { number: place })
    : say("surest", { number: place, label, share: share(probability) });
  return make("div", { class: "series" },
    make("h3", { text: say("series_title") }),
    series.label === null ? null : make("p", { text: say("series_says", {
      label: series.label, share: share(series.probability),
    }) }),
    make("p", { class: "hint", text: say("series_of", { count: series.slices.length }) }),
    make("p", { text: told }),
    series.cut ? make("p", { class: "unfamiliar", text: say("series_cut") }) : null,
    series.note ? make("p", { class: "unfamiliar", text: series.note }) : null,
    make("p", { class: "hint", text: say("series_alone") }),
    make("button", {
      type: "button", "data-keep": "jump", text: say("jump", { number: place }), on: { click: () => jump(decided) },
    }));
}

function flags(read) {
  if (!read.flags.length) return null;
  return make("div", {}, make("h3", { text: say("flags_title") }),
    make("ul", {}, ...read.flags.map((text) => make("li", { text }))));
}
