"""The card of the classifier that a study recommends, in the form that model hubs read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from brainssl.foundation.storage import write_text
from brainssl.reporting.documents.front_matter import (
    as_yaml,
    front_matter,
    source_name,
    title,
)
from brainssl.reporting.findings.about import FILE, About, read_about
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.data_evidence import DATA_EVIDENCE, partition
from brainssl.reporting.findings.model_evidence import MODEL_EVIDENCE, recipe, stage_settings, where
from brainssl.reporting.findings.protocols import HONEST
from brainssl.reporting.findings.tuning import chosen_changes, trials_of
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.titles import is_pretrained
from brainssl.reporting.wording import METRICS, PROTOCOLS, labels_title, percent
from brainssl.settings import LABELLED_METHODS, SEMI_SUPERVISED

CARD = "model-card.md"

RESEARCH = (
    "For research: not a medical device, and nothing that it says is a diagnosis. Every readable "
    "picture gets a class, a photograph too."
)
_SIMULATED = (
    "**The images are simulated.** The classifier has learnt a simulation, and says nothing about "
    "patients."
)
_NOTHING = "The study recommends no classifier: none has scores on both validation and test."


def write_model_card(study: Study) -> Path:
    """Write `model-card.md` into the study's folder and return its path.

    It describes the classifier that `best` of `results.json` names; where there is none it says so.

    Raises:
        BrainsslError: `study.toml` is not as it should be.
    """
    path = study.folder / CARD
    text = card(study, read_about(study.folder))
    write_text(path, text)
    return path


def card(study: Study, about: About, *, differs: str = "") -> str:
    """Return the card as Markdown under a front matter in YAML.

    Args:
        study: that recommends the classifier.
        about: what its authors say.
        differs: why what the card goes along with does not give the classifier's scores. It is said
            first, and the front matter bears none, as no caution travels with those.
    """
    row = _recommended(study)
    head = front_matter(study, row, about)
    if differs:
        head.pop("model-index", None)
    front = "\n".join(as_yaml(head))
    simulated = _SIMULATED if study.facts.get("simulated") else ""
    body = [f"# {source_name(study)}", _NOTHING] if row is None else _body(study, row, about)
    told = f"**{differs}**" if differs else ""
    return "\n\n".join(filter(None, [f"---\n{front}\n---", simulated, told, *body])) + "\n"


def _recommended(study: Study) -> Row | None:
    step = study.measured_as(str((study.facts.get("best") or {}).get("step") or ""))
    rows = (row for row in study.rows if (row.step, row.split) == (step, "test"))
    return next(rows, None) if step else None


def _body(study: Study, row: Row, about: About) -> list[str]:
    return [
        f"# {title(study, row)}",
        _what(study, row),
        "## Intended use",
        _said(about, intended_use="For", users="Users", out_of_scope="Out of scope"),
        "## Training data",
        *_training_data(study, row, about),
        "## How it was trained",
        *_training(study, row),
        "## Results",
        *_results(study, row),
        "## Calibration",
        MODEL_EVIDENCE["calibration"](study) or "Not measured.",
        "`brainssl predict` gives probabilities at the temperature that the classifier's file "
        "holds; one of an earlier version holds none, and they are a plain softmax.",
        "## Classes that it was never taught",
        MODEL_EVIDENCE["novelty"](study)
        or "How it meets them was not measured. It names one of its own classes for any image.",
        "## Subgroups",
        _plain(MODEL_EVIDENCE["subgroups"](study))
        or "Not measured: no column such as site, scanner or age divides the test images.",
        "## Limitations",
        _said(
            about,
            limitations="Known to the authors",
            subgroups="Subgroups",
            external_test="On another collection",
        ),
        "What the study warns of, the serious first:",
        "\n".join(f"- {_plain(caution.text)}" for caution in cautions(study)),
        "## How to use",
        _use(study, row),
        "## More",
        _said(
            about,
            authors="Authors",
            ethics="Ethics",
            funding="Funding",
            interests="Interests",
            contact="Contact",
        ),
        MODEL_EVIDENCE["software"](study),
        "Every model of the study with its curves is in `report.html`, every number in "
        "`results.json`.",
    ]


def _what(study: Study, row: Row) -> str:
    classes = ", ".join(map(_plain, study.classes))
    return (
        f"It gives a slice of a brain MRI the probabilities of {len(study.classes)} classes: "
        f"{classes}. {row.title}, with "
        f"{labels_title(row.label_fraction, of='the training labels')}.{_one_of(study)} {RESEARCH}"
    )


def _one_of(study: Study) -> str:
    """Say of which model the results speak, where there are folds."""
    if not study.folds:
        return ""
    return (
        f" It is one of {study.folds} models that were trained alike, each without its fold of the "
        "images; the results are those of all of them, each on its own fold."
    )


def _training_data(study: Study, row: Row, about: About) -> Iterator[str]:
    yield _said(
        about,
        source="Source",
        dates="Acquired",
        sites="Sites",
        scanners="Scanners",
        eligibility="Eligibility",
        population="Patients",
        reference_standard="Reference standard",
        annotators="Annotators",
        disagreement="Disagreement",
        data_licence="Access and licence",
    )
    told = [DATA_EVIDENCE[name](study) for name in ("images", "left_out", "copies")]
    yield _plain(" ".join(filter(None, told)))
    yield " ".join(filter(None, [partition(study, row.protocol), PROTOCOLS.get(row.protocol, "")]))


def _training(study: Study, row: Row) -> Iterator[str]:
    yield MODEL_EVIDENCE["model"](study)
    trial, changed = chosen_changes(study, str((study.facts.get("best") or {}).get("step")))

    def own(stage: str) -> dict[str, Any]:
        given = stage_settings(study, row.method, stage)
        return {key: changed.get(f"{stage}.{key}", value) for key, value in given.items()}

    if is_pretrained(row.method):
        told = recipe(own("pretrain"))
        labels = "with" if row.method in LABELLED_METHODS else "without"
        yield f"Pretrained {labels} labels{f': {told}' * bool(told)}."
    if row.stage == "linear":
        yield "The encoder was then left as it is, and a linear layer trained on its features."
    else:
        told = recipe(own("finetune"))
        guessed = row.method in SEMI_SUPERVISED
        labels = "labels, and with pseudo-labels of images without" if guessed else "labels"
        yield f"All of it was trained with {labels}{f': {told}' * bool(told)}."
    if trials_of(study) > 1:
        yield f"Its settings are trial {trial} of {trials_of(study)}, chosen on validation."
    yield f"Seed {row.seed}. {MODEL_EVIDENCE['choice'](study)}"


def _results(study: Study, row: Row) -> Iterator[str]:
    digest = str(study.split(row.protocol).get("digest") or "")
    yield f"Measured on {where(row)}" + (f", split digest `{digest}`." if digest else ".")
    if row.protocol != HONEST:
        yield f"**Not to be believed as they stand.** {PROTOCOLS.get(row.protocol, '')}"
    yield _table(
        ("Metric", "Value", "95 % interval"),
        [
            (metric.heading, metric.number(value), metric.range(limits))
            for metric in METRICS
            if (value := row.metrics.get(metric.name)) is not None
            for limits in [row.intervals.get(metric.name) if metric.has_interval else None]
        ],
    )
    yield "Intervals are of a cluster bootstrap: they say how far the score depends on which " + (
        "patients are in the test split." if study.patients else "groups are in the test split."
    )
    yield _table(
        ("Class", "Test images", "Recall, %", "Precision, %"),
        [
            (
                name,
                f"{scores['support']:g}",
                percent(scores["recall"]),
                percent(scores["precision"]),
            )
            for name, scores in row.per_class.items()
        ],
    )


def _use(study: Study, row: Row) -> str:
    size = ((study.facts.get("settings") or {}).get("encoder") or {}).get("image_size")
    step = (study.facts.get("best") or {}).get("step") or row.step
    scaled = f" It is scaled to {size} × {size} pixels." if size else ""
    return (
        f"In the folder of the study:\n\n```sh\nbrainssl predict {step} slice.png\n```\n\n"
        "prints the probability of each class. A slice may be PNG, JPEG, TIFF, BMP, WebP, GIF or "
        f"AVIF.{scaled}"
    )


def _said(about: About, **titles: str) -> str:
    """Return a list of what the authors say under some keys, and of what they do not say."""
    lines = [
        f"- **{title}**: {_plain(getattr(about, key)) or f'not said (`{key}` in {FILE})'}"
        for key, title in titles.items()
    ]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    """Return text on one line that Markdown takes for neither a cell's end nor HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
