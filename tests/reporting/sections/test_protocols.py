"""The section on protocols says what the analysis found, and no more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.blocks import Prose
from brainssl.reporting.sections.protocols import content, protocol_finding
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.tables.table import Table

GROUPED = {"protocol": "grouped", "learnt": False, "seeds": 1, "accuracy": 0.152}
GROUPED |= {"guessing": 0.15, "difference": 0.002, "interval": [-0.02, 0.03]}
IMAGE = {"protocol": "image", "learnt": True, "seeds": 1, "accuracy": 0.463}
IMAGE |= {"guessing": 0.17, "difference": 0.293, "interval": [0.24, 0.35]}


def gap(method: str, stage: str, honest: float, interval: list[float]) -> dict[str, Any]:
    key = {"protocol": "image", "label_fraction": 1.0, "method": method, "stage": stage}
    return key | {
        "accuracy": honest + 0.3,
        "honest": honest,
        "difference": 0.3,
        "interval": interval,
    }


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Study:
    made = make_study(classes=["a", "b"], protocols=["grouped", "image"], extras=False)
    gaps = [
        gap("untrained", "linear", 0.6, [0.1, 0.5]),
        gap("untrained", "linear", 0.1, [0.1, 0.5]) | {"label_fraction": 0.1},
        gap("simclr", "finetune", 0.4, [0.2, 0.41]),
        gap("supervised", "supervised", 0.3, [0.1, 0.5]),
    ]
    analysis = {"random_labels": [GROUPED, IMAGE], "optimism": gaps}
    return replace(read_study(made), analysis=analysis)


def with_analysis(study: Study, **changed: Any) -> Study:
    return replace(study, analysis={**study.analysis, **changed})


def test_the_finding_names_the_best_trained_model_and_what_the_controls_expose(
    study: Study,
) -> None:
    text = protocol_finding(study)
    assert "SimCLR, fine-tuned scores 70.0 % under protocol “image” and 40.0 %" in text
    assert "+30.0 points (95 % interval 20.0–41.0), which is no skill." in text
    assert (
        "drawn at random are learnt: 46.3 % right, guessing 17.0 %, 95 % interval of the "
        "difference 24.0–35.0 under “image”" in text
    )
    assert (
        "A linear probe on an encoder that was never trained scores 90.0 % under “image” and 60.0 "
        "% under “grouped”: it has learnt no features, and gains by images whose like" in text
    )
    assert text.index("SimCLR") < text.index("never trained") < text.index("drawn at random")
    assert (
        "Nothing shows that labels drawn at random were learnt under “grouped” (15.2 % right, "
        "guessing 15.0 %, 95 % interval of the difference −2.0 to 3.0)" in text
    )


def test_what_could_not_be_tested_is_not_called_clean(study: Study) -> None:
    untested = GROUPED | {"accuracy": 1.0, "guessing": 0.5, "interval": None, "learnt": False}
    one = with_analysis(study, random_labels=[untested])
    assert "drawn at random" not in protocol_finding(one)
    (table,) = [b for b in content(one) if isinstance(b, Table) and b.name == "controls"]
    assert table.lines[0].cells[3].text == "not tested"


def test_an_interval_that_is_too_wide_is_not_called_clean(study: Study) -> None:
    wide = GROUPED | {"interval": [-0.12, 0.15]}
    one = with_analysis(study, random_labels=[wide])
    told = protocol_finding(one)
    assert "cannot be told under “grouped” (15.2 % right" in told
    assert "reaches 10.0 points, or is wider than 20.0" in told
    assert "Nothing shows" not in told
    (table,) = [b for b in content(one) if isinstance(b, Table) and b.name == "controls"]
    assert table.lines[0].cells[3].text == "cannot tell"


def test_an_untrained_encoder_that_loses_is_told_apart(study: Study) -> None:
    lost = gap("untrained", "linear", 0.7, [-0.2, -0.05])
    text = protocol_finding(with_analysis(study, optimism=[lost]))
    assert "no sign of recognition" in text
    assert "not told apart" not in text
    untested = with_analysis(study, optimism=[lost | {"interval": None}])
    assert "not told apart" not in protocol_finding(untested)


def test_where_patients_are_not_known_nothing_is_promised(study: Study) -> None:
    assert not study.patients
    assert "patients who stand in two groups go unseen" in protocol_finding(study)
    known = replace(study, audit={**study.audit, "patients": 40})
    assert "go unseen" not in protocol_finding(known)


def test_a_difference_that_may_be_none_is_not_called_flattery(study: Study) -> None:
    unsure = with_analysis(study, optimism=[gap("simclr", "finetune", 0.4, [-0.1, 0.41])])
    assert "no skill" not in protocol_finding(unsure)


def test_an_untrained_encoder_that_gains_nothing_is_not_said_to_recognise(study: Study) -> None:
    unsure = with_analysis(study, optimism=[gap("untrained", "linear", 0.3, [-0.1, 0.5])])
    text = protocol_finding(unsure)
    assert "60.0 % under “image” and 30.0 % under “grouped”, which are not told apart." in text
    assert "whose like" not in text


def test_an_older_study_has_no_finding(study: Study) -> None:
    old = replace(study, analysis={})
    assert protocol_finding(old) == ""
    names = [b.name for b in content(old) if isinstance(b, Table)]
    assert names == ["protocols-accuracy", "protocols-f1_macro"]


def test_every_number_of_the_analysis_is_in_a_table(study: Study) -> None:
    section = content(study)
    found = {block.name: block for block in section if isinstance(block, Table)}
    controls = {line.headers[0]: line.cells for line in found["controls"].lines}
    assert [cell.text for cell in controls["image"][:4]] == [
        "46.3",
        "17.0",
        "+29.3",
        "yes: it leaks",
    ]
    assert controls["image"][2].detail == "24.0–35.0"
    assert [cell.text for cell in controls["grouped"][:4]] == ["15.2", "15.0", "+0.2", "not shown"]
    untrained = next(arm for arm in study.arms("image") if arm.method == "untrained")
    most = [a for a in study.arms("image") if a.method == "untrained"][-1]
    assert most.label_fraction > untrained.label_fraction
    assert controls["image"][4].text == f"{100 * (most.mean('accuracy') or 0):.1f}"
    rows = [(line.headers, [c.text for c in line.cells]) for line in found["optimism"].lines]
    assert rows[2] == (("100\u00a0%", "SimCLR, fine-tuned", "image"), ["70.0", "40.0", "+30.0"])
    assert any(isinstance(block, Prose) for block in section)
