import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.blocks import Facts, Fold, Prose
from brainssl.reporting.findings.about import FILE, About
from brainssl.reporting.sections.checklist import (
    EVIDENCE,
    FILLED,
    Answer,
    answers,
    content,
    read_items,
)
from brainssl.reporting.study import read_study

STEP = "steps/finetune-simclr-grouped-f1-s0"
Raw = dict[str, Any]
Make = Callable[[Raw], list[Answer]]


@pytest.fixture
def raw(analysed_study: Path) -> Raw:
    """Return the results of a study with everything that a run can say."""
    read: Raw = json.loads((analysed_study / "results.json").read_text("utf-8"))
    file = f"{STEP}/classifier.safetensors"
    read["study"]["best"] = {"classifier": file, "chosen_by": "macro F1", "step": STEP}
    score = {"auroc": 0.731, "fpr95": 0.8, "intervals": {"auroc": None, "fpr95": None}}
    novelty = {"known": 120, "novel": 77, "msp": score, "energy": score}
    read["analysis"]["models"][STEP]["novelty"] = novelty
    return read


@pytest.fixture
def answered(tmp_path: Path) -> Make:
    """Return a function that answers the checklist from results alone."""

    def make(results: Raw) -> list[Answer]:
        (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")
        return answers(read_study(tmp_path))

    return make


def by_run(given: list[Answer]) -> set[str]:
    return {answer.item.run for answer in given if answer.status == "from the run"}


def numbers(text: str) -> set[str]:
    """Return the numbers in a text, digests left out."""
    plain = re.sub(r"[0-9a-f]{12}…", "", text.replace("\u202f", ""))
    return set(re.findall(r"\d+(?:\.\d+)?", plain))


def written(value: Any) -> Iterator[str]:
    """Yield every number of results in each way that a report may write it, and lengths."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(key)
            yield from written(inner)
    elif isinstance(value, list):
        yield str(len(value))
        for inner in value:
            yield from written(inner)
    elif isinstance(value, str):
        yield from numbers(value)
    elif isinstance(value, (int, float)):
        size = abs(value)
        yield from (f"{size:g}", f"{100 * size:g}", f"{100 * size:.1f}", f"{size:.3f}")
        yield f"{size:.0f}"


def test_each_key_is_asked_for_once_and_each_item_is_answered_by_one() -> None:
    items = read_items()
    keys = [item.key for item in items if item.key]
    assert sorted(keys) == sorted(About.model_fields)
    assert sorted(item.run for item in items if item.run) == sorted(EVIDENCE)
    assert all(bool(item.key) != bool(item.run) for item in items)
    assert all(item.otherwise for item in items if item.run)
    assert len({(item.topic, item.title) for item in items}) == len(items)


def test_a_complete_run_answers_whatever_a_run_can(raw: Raw, answered: Make) -> None:
    assert by_run(answered(raw)) == set(EVIDENCE)


def test_every_number_of_the_run_is_in_its_results(raw: Raw, answered: Make) -> None:
    known = set(written(raw)) | {"95", "0.5"}  # of “95 % interval”, and of an AUROC that is blind
    found = set()
    for answer in answered(raw):
        if answer.status == "from the run":
            assert numbers(answer.text) <= known, answer.item.title
            found |= numbers(answer.text)
    assert len(found) > 50


@pytest.mark.parametrize(
    ("place", "key", "lost"),
    [
        ("study", "audit", {"images", "left_out", "copies"}),
        ("study", "splits", {"partitions", "level", "balance"}),
        ("study", "settings", {"preparation", "model", "training"}),
        ("study", "best", {"choice", "novelty"}),
        ("study", "methods", {"objective", "training"}),
        ("study", "classes", {"objective"}),
        ("study", "label_fractions", {"objective"}),
        ("study", "command", {"software"}),
        ("study", "brainssl", {"software"}),
        ("analysis", "random_labels", {"leakage"}),
        ("analysis", "comparisons", {"comparisons"}),
        ("analysis", "models", {"calibration", "factors", "novelty", "subgroups"}),
    ],
)
def test_what_the_results_lack_is_not_claimed(
    raw: Raw, answered: Make, place: str, key: str, lost: set[str]
) -> None:
    del raw[place][key]
    given = answered(raw)
    assert by_run(given) == set(EVIDENCE) - lost
    undone = {a.item.run for a in given if a.status == "not done here"} - {""}
    assert undone == lost


def test_without_the_chosen_model_on_test_nothing_is_said_of_its_scores(
    raw: Raw, answered: Make
) -> None:
    raw["rows"] = [r for r in raw["rows"] if (r["step"], r["split"]) != (STEP, "test")]
    assert set(EVIDENCE) - by_run(answered(raw)) == {"measures", "performance", "weakest"}


def test_an_older_study_lacks_what_was_not_analysed_then(study: Path) -> None:
    lost = {"leakage", "choice", "comparisons", "calibration", "factors", "novelty", "explanations"}
    lost |= {"subgroups"}
    assert set(EVIDENCE) - by_run(answers(read_study(study))) == lost


def test_what_is_said_is_shown_and_no_longer_missing(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, extras=False)
    study = read_study(folder)
    before = {a.item.key: a for a in answers(study) if a.item.key}
    assert {a.status for key, a in before.items() if key != "external_test"} == {"missing"}
    assert all(f"`{key}`" in a.text and FILE in a.text for key, a in before.items())
    for key in before:
        (folder / FILE).write_text(f'{key} = "as we say"\n', "utf-8")
        after = {a.item.key: a for a in answers(study) if a.item.key}
        assert (after[key].status, after[key].text) == ("from study.toml", "as we say")
        assert {k: a for k, a in after.items() if k != key} == {
            k: a for k, a in before.items() if k != key
        }
        (folder / FILE).write_text(f'{key} = "  "\n', "utf-8")
        assert [a for a in answers(study) if a.item.key == key] == [before[key]]


def test_of_simulated_images_nothing_is_asked_that_only_patients_have(
    raw: Raw, answered: Make
) -> None:
    before = {answer.item: answer.status for answer in answered(raw)}
    raw["study"]["simulated"] = True
    after = {answer.item: answer.status for answer in answered(raw)}
    changed = {item for item in after if after[item] != before[item]}
    assert changed == {item for item in read_items() if item.of_patients}
    assert {after[item] for item in changed} == {"does not apply"}


def test_the_section_counts_what_is_filled_and_shows_every_item(study: Path) -> None:
    section = content(read_study(study))
    given = answers(read_study(study))
    filled = [answer for answer in given if answer.status in FILLED]
    summary, *folds, sources = section
    assert isinstance(sources, Fold)
    assert isinstance(summary, Prose)
    assert summary.paragraphs[0].startswith(f"{len(filled)} of {len(given)} items are filled")
    pairs, heads = [], []
    for fold in folds:
        assert isinstance(fold, Fold)
        (facts,) = fold.blocks
        assert isinstance(facts, Facts)
        pairs += facts.pairs
        heads.append([int(n) for n in re.findall(r"\d+", fold.title)])
    assert [sum(column) for column in zip(*heads, strict=True)] == [len(filled), len(given)]
    for (title, shown), answer in zip(pairs, given, strict=True):
        assert title == answer.item.title
        assert shown.lower().startswith(f"{answer.status.lower()}: {answer.text.lower()}")


def test_a_study_without_results_has_no_checklist(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"study": {}, "rows": []}', "utf-8")
    study = read_study(tmp_path)
    assert content(study) == ()
    assert by_run(answers(study)) == set()
