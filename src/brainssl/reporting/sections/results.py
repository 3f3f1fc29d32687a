"""The main table of each protocol, and everything measured behind a fold."""

from brainssl.reporting.blocks import (
    Block,
    Facts,
    Fold,
    Prose,
)
from brainssl.reporting.study import Study
from brainssl.reporting.tables import results as tables
from brainssl.reporting.tables.folds import folds_table
from brainssl.reporting.tables.units import unit_tables
from brainssl.reporting.titles import CLASSICAL, title_of
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    METRICS,
    join,
)

_MOST_LINES = 60  # of a table that nobody asked for

_CLASSICAL = (
    f"{join(list(CLASSICAL.values()))} are no networks: they know hand-made features alone "
    "(grey-level co-occurrence, local binary patterns, HOG). Their features and settings were "
    "chosen on validation; “chosen” in results.json tells which."
)


def content(study: Study) -> tuple[Block, ...]:
    """Show the main table of each protocol, and everything measured behind a fold."""
    blocks: list[Block] = []
    for protocol in study.protocols:
        if not study.arms(protocol):
            continue
        if by_unit := unit_tables(study, protocol):
            blocks += [by_unit[0], *(Fold("Series", (table,)) for table in by_unit[1:])]
        if len({arm.label_fraction for arm in study.arms(protocol)}) > 1:
            blocks.append(tables.overview_table(study, protocol, HEADLINE))
            other = METRIC["f1_macro"]
            table = tables.overview_table(study, protocol, other)
            blocks.append(Fold(f"{other.title}, protocol “{protocol}”", (table,)))
        main = tables.main_table(study, protocol)
        title = f"Every model with its interval, protocol “{protocol}”"
        blocks.append(main if len(main.lines) <= _MOST_LINES else Fold(title, (main,)))
        if study.folds:
            title = f"Every fold by itself, protocol “{protocol}”"
            blocks.append(Fold(title, (folds_table(study, protocol),)))
        blocks += [
            Fold(
                f"All metrics, {tables.split_title(split).lower()}, protocol “{protocol}”",
                tables.full_tables(study, protocol, split),
            )
            for split in ("test", "val", "train")
            if study.arms(protocol, split)
        ]
    told = [_CLASSICAL] if any(row.method in CLASSICAL for row in study.rows) else []
    told += [combined] if (combined := _ensembles(study)) else []
    if told:
        blocks.append(Fold("What classical baselines and ensembles are", (Prose(tuple(told)),)))
    if blocks:
        meanings = tuple((metric.title, metric.meaning) for metric in METRICS)
        blocks.append(Fold("What the metrics mean", (Facts(meanings),)))
    return tuple(blocks)


def _ensembles(study: Study) -> str:
    """Say what the ensembles are made of."""
    sentences = []
    for row in study.analysis.get("ensembles") or ():
        titles = join([title_of(m) for m in row["members"]])
        sentences.append(
            f"“Ensemble” under “{row['protocol']}” is the mean of the probabilities of the models "
            f"that are best on validation: {titles}."
        )
    return " ".join(dict.fromkeys(sentences))
