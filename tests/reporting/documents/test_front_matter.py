from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brainssl.reporting.documents.front_matter import as_yaml, front_matter, title
from brainssl.reporting.findings.about import About
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study

KEYS = st.from_regex(r"k[a-z_-]{0,5}", fullmatch=True)
# Of the basic plane: JSON escapes what is beyond as two halves, where something cannot be printed.
TEXTS = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs"]))
SCALARS = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    st.dictionaries(KEYS, SCALARS, min_size=1) | st.lists(SCALARS, min_size=1),
    lambda inner: (
        st.dictionaries(KEYS, SCALARS | inner, min_size=1)
        | st.lists(SCALARS | inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


def row(**changed: Any) -> Row:
    raw = {
        "method": "byol",
        "stage": "finetune",
        "protocol": "grouped",
        "label_fraction": 1.0,
        "seed": 3,
        "split": "test",
        "n": 12,
        "metrics": {"accuracy": 0.6404, "f1_macro": 0.5, "auroc_macro": None, "ece": 0.1},
        "step": "steps/finetune-byol-grouped-f1-s3",
    }
    return Row.parse(raw | changed)


def study(**facts: Any) -> Study:
    splits = {"grouped": {"digest": "abc"}}
    return Study(Path("nowhere"), {"source": "mri", "splits": splits, **facts}, ())


@given(TREES)
def test_a_parser_reads_what_was_written(tree: Any) -> None:
    assert yaml.safe_load("\n".join(as_yaml(tree))) == tree


def test_the_metrics_are_those_of_the_row_with_its_split_protocol_and_seed() -> None:
    found = front_matter(study(), row(), About())
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == title(study(), row()) == "BYOL, fine-tuned, mri"
    assert {m["type"]: m["value"] for m in result["metrics"]} == {"accuracy": 0.6404, "f1": 0.5}
    assert result["dataset"]["split"] == "test"
    assert result["dataset"]["args"] == {"protocol": "grouped", "seed": 3, "split_digest": "abc"}


@pytest.mark.parametrize("changed", [{"protocol": "image"}, {"metrics": {"ece": 0.1}}])
def test_scores_that_flatter_and_scores_that_lack_are_no_metadata(changed: dict[str, Any]) -> None:
    assert "model-index" not in front_matter(study(), row(**changed), About())


def test_the_licence_is_that_of_the_model_if_it_is_known() -> None:
    about = About(model_licence="Apache-2.0", data_licence="CC-BY-4.0")
    assert front_matter(study(), row(), about)["license"] == "apache-2.0"
    assert "license" not in front_matter(study(), row(), About(data_licence="CC-BY-4.0"))


def test_tags_tell_what_was_pretrained_and_what_was_simulated() -> None:
    def tags(method: str, **facts: Any) -> set[str]:
        return set(front_matter(study(**facts), row(method=method), About())["tags"])

    assert tags("byol") - tags("supervised") == {"self-supervised-learning", "byol"}
    assert "self-supervised-learning" not in tags("untrained")
    assert tags("supcon") - tags("supervised") == {"supcon"}
    assert tags("fixmatch") - tags("supervised") == {"semi-supervised-learning", "fixmatch"}
    assert tags("byol", simulated=True) - tags("byol") == {"simulated-data"}
    assert "simulated-data" in front_matter(study(simulated=True), None, About())["tags"]
