// What answers hold, in one shape: fields that a classifier does not know are null or empty.

// Of a slice: {label, shares, set, familiar, why, cases, family, sequence, flags}.
export function reading(said) {
  return {
    label: said.label,
    probability: said.probability,
    shares: ordered(said.probabilities),
    set: said.set ?? said.conformal ?? null,
    familiar: said.familiar ?? null,
    why: (said.why ?? "").replace(/^(un)?familiar: /, ""), // which the page says itself
    cases: (said.similar ?? said.neighbours ?? said.cases ?? []).map(({ id, image_id, ...rest }) => ({
      id: id ?? image_id,
      ...rest,
    })),
    family: ordered(said.family?.probabilities),
    sequence: ordered(said.sequence?.probabilities),
    flags: said.flags ?? [],
  };
}

// What was said of whole series: told by the service, or the surest slice of a file that has many.
export function seriesOf(answer, slices) {
  const told = (answer.series ?? []).filter((one) => !one.error).map((one) => {
    const files = new Set([one.file, ...(one.files ?? [])].filter(Boolean));
    const own = files.size ? slices.filter((slice) => files.has(slice.said.file)) : slices;
    const decided = one.decided ?? one.deciding_slice ?? one.decided_by ?? null;
    return {
      label: one.label,
      probability: one.probability,
      slices: own,
      decided: own.find((slice) => isSlice(slice, decided)) ?? null,
    };
  });
  if (told.length) return told;
  return [...grouped(slices).values()].filter((own) => own.length > 1)
    .map((own) => ({ label: null, probability: null, slices: own, decided: null }));
}

export function surestOf(slices) {
  return slices.reduce((best, one) => (one.said.probability > best.said.probability ? one : best));
}

function isSlice(slice, told) {
  if (told === null || typeof told !== "object") return slice.number === told || slice.said.file === told;
  return slice.said.file === told.file && slice.number === (told.slice ?? null);
}

function grouped(slices) {
  const byEntry = new Map();
  for (const slice of slices) {
    if (!byEntry.has(slice.entry)) byEntry.set(slice.entry, []);
    byEntry.get(slice.entry).push(slice);
  }
  return byEntry;
}

const ordered = (shares) => Object.entries(shares ?? {}).sort(([, one], [, other]) => other - one);
