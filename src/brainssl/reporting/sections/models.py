"""The section that shows models one by one: which of them, and what of each."""

from itertools import chain, zip_longest

from brainssl.evaluation.metrics import confusion
from brainssl.reporting.blocks import Block, Choice, Columns, Fold, Panel, Prose
from brainssl.reporting.figures import curves
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.tables import results as tables
from brainssl.reporting.titles import CLASSICAL
from brainssl.reporting.wording import counted, labels_title
from brainssl.settings.starts import mark_of

# Cells of confusion matrices and entries of the selector that a page bears.
_SHOWN_CELLS = 8000
_MOST_MODELS = 24


def content(study: Study) -> tuple[Block, ...]:
    """Show confusion matrices, per-class scores and curves of one model, others by choice."""
    models = _models(study)
    most = max(1, min(_MOST_MODELS, _SHOWN_CELLS // max(1, len(study.classes)) ** 2))
    panels = tuple(p for row in models[:most] if (p := _model_panel(study, row)) is not None)
    if not panels:
        return ()
    text = _choice_rule(study)
    if more := len(models[most:]):
        text += (
            f" {counted(more, 'further model')} {'is' if more == 1 else 'are'} not shown, to keep "
            "the page small: those of the first protocol come before the others, which take turns. "
            "The table of results has their scores, and steps/ their predictions."
        )
    return (Prose((text,)), Choice("model", "Model", panels))


def _models(study: Study) -> list[Row]:
    """Return the model chosen on validation and the first seed of every other arm, on test.

    Where not all can be shown it is those of the first protocol, and of the other protocols, in
    turn, those that learnt from the most labels; classical baselines come last.
    """
    chosen = chosen_step(study)
    best, others = [], []
    first, *rest = [
        sorted(
            sorted(study.arms(protocol), key=lambda arm: arm.label_fraction, reverse=True),
            key=lambda arm: arm.method in CLASSICAL,
        )
        for protocol in study.protocols
    ] or [[]]
    in_turn = chain.from_iterable(zip_longest(*rest))
    for arm in [*first, *(arm for arm in in_turn if arm is not None)]:
        own = [row for row in arm.rows if row.step == chosen]
        best += own
        others += [] if own else [arm.rows[0]]
    return [*best, *others]


def _choice_rule(study: Study) -> str:
    if not chosen_step(study):
        return (
            "Of every method, stage and label fraction the first seed is shown, measured on test."
        )
    return (
        "The model shown first is the one with the best macro F1 on the validation split; of every "
        "other method, stage and label fraction the first seed. All of it is measured on test."
    )


def _model_panel(study: Study, row: Row) -> Panel | None:
    predictions = study.predictions(row)
    if predictions is None:
        return None
    classes, labels = predictions.classes, predictions.labels
    title = f"{row.title}, {labels_title(row.label_fraction)}, seed {row.seed}"
    where = f"{title}, {row.split} split, protocol “{row.protocol}”"
    model = f"{row.method}-{row.stage}{mark_of(row.start)}"
    key = f"{model}-{row.protocol}-f{row.label_fraction:g}-s{row.seed}"
    counts = confusion(labels, predictions.predicted, classes)
    probabilities = predictions.probabilities()
    blocks: list[Block] = [
        tables.confusion_table(counts, classes, f"confusion-{key}", where),
        Fold("Each class", (tables.class_table(row, classes, f"classes-{key}", where),)),
        Columns(
            (
                curves.roc_curves(
                    labels, probabilities, classes, f"roc-{key}", where, study.families
                ),
                curves.pr_curves(
                    labels, probabilities, classes, f"pr-{key}", where, study.families
                ),
            )
        ),
    ]
    option = title if len(study.protocols) == 1 else f"{title}, {row.protocol}"
    return Panel(f"panel-{key}", option, tuple(blocks))
