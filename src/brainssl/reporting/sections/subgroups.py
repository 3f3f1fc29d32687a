"""The section on subgroups: sites, scanners, ages and whatever else the collection tells."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.findings.subgroups import sentences
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.tables.subgroups import subgroup_table, subgroups_of_models
from brainssl.reporting.wording import labels_title

_HOW = (
    "A subgroup is told apart from the rest (the images of which another value is known) if the "
    "difference in accuracy is more than chance by two counts: groups drawn anew on both sides "
    "(cluster bootstrap), and groups dealt anew to the two sides (permutation). The larger p value "
    "counts, and is corrected for all subgroups that were looked at (Holm). Intervals are not "
    "corrected. Images of an unknown value are a row of their own and on neither side. With many "
    "subgroups of few groups only large differences are found; and a difference that is found does "
    "not say why: a site may see other classes than the others do."
)
_FOLDS = " With folds, numbers are cut at the tertiles of the first fold’s training part."


def content(study: Study) -> tuple[Block, ...]:
    """Show the chosen model’s subgroups, and behind a fold those of every model."""
    models = _analysed(study)
    if not models:
        return ()
    step = chosen_step(study)
    row, told = next((one for one in models if one[0].step == step), models[0])
    what = (
        f"the test split, {row.title}, seed {row.seed}, protocol “{row.protocol}”, "
        f"{labels_title(row.label_fraction)}"
    )
    how = _HOW + _FOLDS * bool(study.folds) + _left_out(told)
    blocks: list[Block] = [Prose(tuple(sentences(told))), subgroup_table(told, what)]
    if len(models) > 1:
        blocks.append(Fold("Every model", (subgroups_of_models(models),)))
    return (*blocks, Fold("How subgroups are compared", (Prose((how,)),)))


def _analysed(study: Study) -> list[tuple[Row, Mapping[str, Any]]]:
    """Return the models of the first protocol whose subgroups were scored."""
    about = study.analysis.get("models") or {}
    arms = [arm for protocol in study.protocols[:1] for arm in study.arms(protocol)]
    told = {step: found.get("subgroups") or {} for step, found in about.items()}
    rows = [row for arm in arms for row in arm.rows if told.get(row.step, {}).get("columns")]
    most = max((row.label_fraction for row in rows), default=0.0)
    return [(row, told[row.step]) for row in rows if row.label_fraction == most]


def _left_out(told: Mapping[str, Any]) -> str:
    left: Sequence[Mapping[str, str]] = told.get("left_out") or ()
    named = [f"{one['column'].replace('_', ' ')} ({one['why']})" for one in left]
    return f" Columns that do not divide these images: {'; '.join(named)}." if named else ""
