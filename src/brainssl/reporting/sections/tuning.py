"""The section that says what a search over settings tried, and what validation chose."""

from collections.abc import Sequence

from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.findings.tuning import ArmSearch, Trial, arm_searches, trials_of
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import MISSING, count, counted, decimal, fraction_title
from brainssl.settings.writing import in_one_line


def content(study: Study) -> tuple[Block, ...]:
    """Tabulate what each arm chose, and behind a fold all that it tried."""
    found = arm_searches(study)
    if not found:
        return ()
    return (
        Prose(_how(study, found)),
        chosen_table(found, study.protocols),
        Fold("All trials", (trials_table(found, study.protocols),)),
    )


def _how(study: Study, found: Sequence[ArmSearch]) -> tuple[str, ...]:
    images = sorted({number for arm in found for number in arm.images})
    number = " to ".join(count(end) for end in dict.fromkeys((images[0], images[-1])))
    failed = sum(trial.failed for arm in found for trial in arm.trials)
    searches = sum(len(arm.best) for arm in found)
    told = (
        f"Every method and the supervised baseline tried the same {trials_of(study)} settings: "
        "first those given, then the same relative changes of learning rate, weight decay, epochs "
        "(never more) and augmentation for all. Each fold and seed chose for itself, "
        f"{counted(searches, 'search', 'searches')} in all, by the NLL at its best temperature on "
        f"one validation set of {number} images. The test set had no part in it: of the changed "
        "settings only those that were chosen were measured on it, afterwards."
    )
    caveat = (
        "The score of what was chosen is flattered by the choice, the more so the fewer images "
        "chose. Controls have no trials, nor have classical baselines, which choose on validation "
        "what they have to choose."
    )
    lost = (
        f" {counted(failed, 'trial')} failed, and the searches went on without." if failed else ""
    )
    return told, caveat + lost


def chosen_table(found: Sequence[ArmSearch], protocols: Sequence[str]) -> Table:
    """Return a line an arm: its searches, what they chose most often, and what that brought.

    Args:
        found: the searches of each arm.
        protocols: of the study; where there are several each line names its own.
    """
    return Table(
        name="tuning-chosen",
        caption=(
            "What validation chose, and its NLL at the best temperature (lower is better, mean "
            "over folds and seeds) with the settings as given and with those chosen, in the same "
            "searches: those in which the settings as given did not fail."
        ),
        stub=_stub(protocols),
        columns=(
            "Searches",
            "Trials",
            "Chosen most often",
            "Its settings",
            "NLL as given",
            "NLL chosen",
        ),
        lines=tuple(
            Line(
                (*_where(arm, protocols), arm.title),
                (
                    Cell(str(len(arm.best))),
                    Cell(str(len(arm.trials))),
                    Cell(
                        f"trial {arm.favourite.number}",
                        f"{arm.favourite.chosen} of {len(arm.best)}",
                    ),
                    Cell(in_one_line(arm.favourite.changed)),
                    *(Cell(decimal(loss)) for loss in arm.gain),
                ),
                start=_begins(found, place),
            )
            for place, arm in enumerate(found)
        ),
        numeric=False,
    )


def trials_table(found: Sequence[ArmSearch], protocols: Sequence[str]) -> Table:
    """Return a line for each trial of each arm."""
    return Table(
        name="tuning-trials",
        caption=(
            "All trials: settings that were not as given, validation NLL at the best temperature "
            "(mean over folds and seeds), and how often each was chosen."
        ),
        stub=(*_stub(protocols), "Trial"),
        columns=("Settings", "Validation NLL", "Chosen", "Failed"),
        lines=tuple(
            Line(
                (*_where(arm, protocols), arm.title, str(trial.number)),
                _cells(trial),
                start=trial.number == 1,
            )
            for arm in found
            for trial in arm.trials
        ),
        layout="wide",
        numeric=False,
    )


def _cells(trial: Trial) -> tuple[Cell, ...]:
    failed = Cell(str(trial.failed), trial.error) if trial.failed else Cell(MISSING)
    return (
        Cell(in_one_line(trial.changed)),
        Cell(decimal(trial.mean)),
        Cell(str(trial.chosen)),
        failed,
    )


def _stub(protocols: Sequence[str]) -> tuple[str, ...]:
    return ("Labels", *(["Protocol"] if len(protocols) > 1 else []), "Model")


def _where(arm: ArmSearch, protocols: Sequence[str]) -> tuple[str, ...]:
    named = [arm.protocol] if len(protocols) > 1 else []
    return (fraction_title(arm.label_fraction), *named)


def _begins(found: Sequence[ArmSearch], place: int) -> bool:
    cell, before = found[place], found[place - 1]
    return place == 0 or (cell.protocol, cell.label_fraction) != (
        before.protocol,
        before.label_fraction,
    )
