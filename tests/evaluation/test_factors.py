"""Family and sequence alone: probabilities add up, labels follow; and the accuracy of planes."""

import numpy as np
import pytest

from brainssl.data.families import factors
from brainssl.evaluation.factors import by_factor, by_plane
from brainssl.evaluation.intervals import bootstrap
from brainssl.evaluation.predictions import Predictions

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Other lesion T1C+")


def test_a_class_is_of_a_family_and_a_sequence() -> None:
    assert factors(CLASSES) == {
        "family": ["Glioma", "Glioma", "Normal", "Other lesion"],
        "sequence": ["T1", "T2", "T1", "T1C+"],
    }


def test_what_does_not_vary_or_is_the_class_is_no_factor() -> None:
    assert factors(("Glioma T1", "Normal T1")) == {"family": ["Glioma", "Normal"]}
    assert factors(("Glioma", "Normal")) == {}


def test_sequences_are_no_factor_where_a_class_has_none() -> None:
    assert factors(("Glioma T1", "Glioma T2", "Normal")) == {
        "family": ["Glioma", "Glioma", "Normal"]
    }


def test_a_table_has_the_word() -> None:
    told = {"a": ["Glioma", "FLAIR"], "b T1": ["Glioma", "DWI"], "c": ["Normal", "MRA"]}
    assert factors(list(told), told) == {
        "family": ["Glioma", "Glioma", "Normal"],
        "sequence": ["FLAIR", "DWI", "MRA"],
    }


def test_probabilities_of_a_value_are_summed() -> None:
    n = 30
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, n)
    model = Predictions.build(
        [str(i) for i in range(n)],
        np.arange(n),
        ["test"] * n,
        labels,
        generator.normal(0, 2, (n, 4)),
        CLASSES,
    )
    values = factors(CLASSES)["family"]
    merged = by_factor(model, values)
    p = model.probabilities()
    expected = np.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]], axis=1)
    assert merged.classes == ("Glioma", "Normal", "Other lesion")
    assert merged.probabilities() == pytest.approx(expected, abs=1e-6)
    assert [merged.classes[i] for i in merged.labels] == [values[i] for i in labels]
    assert merged.frame["image_id"].equals(model.frame["image_id"])


def seen_in_planes(n: int = 120) -> tuple[Predictions, dict[str, str]]:
    """Two thirds of the images are axial, one in six coronal; of the rest no plane is known."""
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, n)
    planes = {str(i): ("axial", "axial", "coronal")[i % 3] for i in range(n) if i % 6 != 5}
    right = np.array([generator.random() < (0.9 if i % 3 < 2 else 0.4) for i in range(n)])
    said = np.where(right, labels, (labels + 1) % 4)
    model = Predictions.build(
        [str(i) for i in range(n)],
        np.arange(n) // 4,
        ["test"] * n,
        labels,
        np.eye(4)[said],
        CLASSES,
    )
    return model, planes


def test_each_plane_has_the_accuracy_of_its_images() -> None:
    model, planes = seen_in_planes()
    found = by_plane(model, planes, draws=400)
    assert list(found) == ["axial", "coronal"]
    for plane, told in found.items():
        rows = [planes.get(name) == plane for name in model.frame["image_id"]]
        alone = Predictions(model.frame[rows].reset_index(drop=True), CLASSES)
        assert told["n"] == len(alone)
        assert told["accuracy"] == (alone.predicted == alone.labels).mean()
        assert told["interval"] == pytest.approx(bootstrap(alone, draws=400)["accuracy"])


def test_slices_of_one_group_in_a_plane_are_drawn_together() -> None:
    """Forty copies of ten images promise no more than the ten."""
    model, planes = seen_in_planes(400)
    group = np.arange(400) // 40
    copies = model.frame.iloc[40 * group].reset_index(drop=True)
    copies["image_id"] = model.frame["image_id"]
    together, apart = (
        by_plane(Predictions(copies.assign(group=groups), CLASSES), planes, draws=400)["axial"]
        for groups in (group, np.arange(400))
    )
    assert together["accuracy"] == apart["accuracy"]
    assert np.diff(together["interval"])[0] > 4 * np.diff(apart["interval"])[0]


def test_one_group_of_a_plane_has_no_interval_and_no_plane_no_entry() -> None:
    model, planes = seen_in_planes()
    rare = by_plane(model, {**planes, "5": "sagittal", "4": "sagittal"}, draws=50)["sagittal"]
    assert rare["n"] == 2
    assert by_plane(model, {"5": "sagittal"}, draws=50)["sagittal"]["interval"] is None
    assert by_plane(model, {}, draws=50) == {}
