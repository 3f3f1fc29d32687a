import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from brainssl.reporting.documents.model_card import CARD, write_model_card
from brainssl.reporting.findings.about import FILE, About
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.wording import METRICS, percent

STEP = "steps/finetune-simclr-{protocol}-f1-s1"
Write = Callable[..., str]


@pytest.fixture
def written(make_study: Callable[..., Path]) -> Write:
    """Return a function that writes the card of a study and returns it."""

    def write(
        protocol: str = "grouped", said: str = "", best: bool = True, **facts: Any
    ) -> tuple[str, Study]:
        folder = make_study(classes=["a|b", "c"], protocols=[protocol], extras=False)
        raw = json.loads((folder / "results.json").read_text("utf-8"))
        step = STEP.format(protocol=protocol)
        chosen = {"classifier": f"{step}/classifier.safetensors", "step": step}
        raw["study"] |= {"best": chosen if best else {}, **facts}
        (folder / "results.json").write_text(json.dumps(raw), "utf-8")
        (folder / FILE).write_text(said, "utf-8")
        study = read_study(folder)
        path = write_model_card(study)
        assert path == folder / CARD
        return path.read_text("utf-8"), study

    return write


def rows_of(card: str, head: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this head."""
    lines = card.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def test_a_hub_reads_the_metrics_of_the_chosen_classifier_on_test(written: Write) -> None:
    card, study = written()
    (row,) = (
        r for r in study.rows if (r.step, r.split) == (STEP.format(protocol="grouped"), "test")
    )
    data = ModelCard(card).data
    assert (data.library_name, data.pipeline_tag) == ("brainssl", "image-classification")
    read = {result.metric_type: result.metric_value for result in data.eval_results}
    assert {"accuracy", "f1"} <= set(read)
    assert read["accuracy"] == row.metrics["accuracy"]
    assert read["f1"] == row.metrics["f1_macro"]
    assert {result.dataset_split for result in data.eval_results} == {"test"}


def test_every_cell_is_a_score_of_that_classifier(written: Write) -> None:
    card, study = written()
    (row,) = (
        r for r in study.rows if (r.step, r.split) == (STEP.format(protocol="grouped"), "test")
    )
    measured = {
        metric.heading: metric for metric in METRICS if row.metrics[metric.name] is not None
    }
    lines = {head: cells for head, *cells in rows_of(card, "Metric")}
    assert set(lines) == set(measured)
    for head, (value, interval) in lines.items():
        metric = measured[head]
        assert value == metric.number(row.metrics[metric.name])
        limits = row.intervals[metric.name] if metric.has_interval else None
        assert interval == metric.range(limits)
    classes = {name.replace("\\|", "|"): cells for name, *cells in rows_of(card, "Class")}
    assert classes == {
        name: [f"{s['support']:g}", percent(s["recall"]), percent(s["precision"])]
        for name, s in row.per_class.items()
    }
    assert f"{row.n} images of the test split, protocol “grouped”, seed 1" in card
    assert study.split("grouped")["digest"] in card


def test_scores_under_another_protocol_are_marked_and_no_metadata(written: Write) -> None:
    card, _ = written("image")
    assert "Not to be believed" in card
    assert ModelCard(card).data.eval_results is None
    assert "Not to be believed" not in written("grouped")[0]


@pytest.mark.parametrize("best", [True, False])
def test_simulated_images_are_told_before_anything_else(written: Write, best: bool) -> None:
    first = ModelCard(written(simulated=True, best=best)[0]).text.strip().splitlines()[0]
    assert first.startswith("**The images are simulated.**")
    assert "simulated" not in written(best=best)[0]


def test_without_a_classifier_the_card_says_so(written: Write) -> None:
    card, _ = written(best=False)
    assert "recommends no classifier" in card
    assert ModelCard(card).data.eval_results is None
    assert "brainssl predict" not in card


def test_the_cautions_of_the_report_are_its_limitations(written: Write) -> None:
    card, study = written()
    limitations = card.partition("## Limitations")[2].partition("\n## ")[0]
    texts = [caution.text.replace("|", "\\|") for caution in cautions(study)]
    assert texts
    assert [text for text in texts if f"- {text}\n" not in limitations] == []


def test_what_the_authors_say_stands_in_place_of_what_they_do_not(written: Write) -> None:
    keys = set(About.model_fields)
    asked = set(re.findall(rf"not said \(`(\w+)` in {FILE}\)", written()[0]))
    # The licence stands in the front matter; the rest concerns the study more than the classifier.
    assert keys - asked == {"model_licence", "deidentification", "sample_size", "registration"}
    said = "\n".join(f'{key} = """about\n{key} <b>"""' for key in sorted(asked))
    card, _ = written(said=said)
    assert "not said" not in card
    assert [key for key in asked if f": about {key} &lt;b>\n" not in card] == []


def test_the_command_that_uses_it_names_the_classifier(written: Write) -> None:
    card, study = written()
    (line,) = re.findall(r"^brainssl predict .*$", card, re.MULTILINE)
    assert shlex.split(line)[2] == study.facts["best"]["step"]
