// What answers hold, in one shape: fields that a classifier does not know are null or empty.

// Of a slice: {label, shares, set, familiar, why, cases, family, sequence, flags}.
export function reading(said) {
  return {
    label: said.label,
    probability: said.probability,
    shares: ordered(said.probabilities),
    set: said.set ?? said.conformal ?? null,
    familiar: said.familiar ?? null,
    why: said.why ?? "",
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
    const own = slices.filter((slice) => slice.said.series === one.series);
    return {
      label: one.label,
      probability: one.probability,
      note: one.note ?? "",
      slices: own,
      decided: own.find((slice) => slice.number === one.decided_by?.slice) ?? null,
    };
  });
  if (told.length) return told;
  return [...grouped(slices).values()].filter((own) => own.length > 1)
    .map((own) => ({ label: null, probability: null, note: "", slices: own, decided: null }));
}

export function surestOf(slices) {
  return slices.reduce((best, one) => (one.said.probability > best.said.probability ? one : best));
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
