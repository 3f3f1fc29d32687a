// The classifier's card: what it was trained on, how often it was right, what it does not know.

import { make } from "./elements.js";
import { number, say, share } from "./words.js";

export function showCard(where, model) {
  const { facts } = model;
  where.replaceChildren(...[
    make("h3", { text: say("card_accuracy") }),
    ...accuracy(model.measured ?? facts.measured).map(line),
    line(say("card_guess", { share: share(1 / model.classes.length) })),
    make("h3", { text: say("card_trained") }),
    ...training(facts).map(line),
    line(say("card_seen", { size: model.image_size })),
    make("details", {},
      make("summary", { text: say("card_classes", { count: model.classes.length }) }),
      listed(model.classes)),
    ...listing("card_unknown", unknown(model.knows)),
    ...promise(model.promise ?? facts.promise),
    ...listing("card_caveats", model.caveats),
    make("p", { class: "hint", text: takes(model.bounds) }),
    make("p", { class: "hint", text: say("card_version", model) }),
  ].filter(Boolean));
}

function accuracy(measured) {
  if (!measured) return [say("card_unmeasured")];
  const told = (key, { accuracy: right, interval, n }) => {
    const values = { accuracy: share(right), count: number(n) };
    if (!interval) return say("card_measured_plain", values);
    const [low, high] = interval.map(share);
    return say(key, { ...values, low, high });
  };
  const { folds } = measured;
  return [told("card_measured", measured), folds && told("card_folds", folds)].filter(Boolean);
}

function training(facts) {
  const told = [];
  if (facts.labelled) {
    told.push(say("card_labelled", {
      count: number(facts.labelled), groups: number(facts.labelled_groups ?? 0),
    }));
  }
  const method = facts.pretrained?.method;
  if (method) told.push(say("card_method", { method }));
  else if (facts.method === "supervised") told.push(say("card_supervised"));
  return told.length ? told : [say("card_untold")];
}

const unknown = (knows) => Object.entries(knows).filter(([, known]) => !known)
  .map(([name]) => say(`unknown.${name}`));

const promise = (text) => (text ? [make("h3", { text: say("card_promise") }), line(text)] : []);

const takes = (bounds) => say("card_takes", {
  formats: bounds.formats.join(", "),
  files: number(bounds.max_files),
  megabytes: number(bounds.max_bytes / 2 ** 20),
});

const line = (text) => make("p", { text });

const listed = (lines) => make("ul", {}, ...lines.map((text) => make("li", { text })));

const listing = (title, lines) => (lines.length
  ? [make("h3", { text: say(title) }), listed(lines)] : []);
