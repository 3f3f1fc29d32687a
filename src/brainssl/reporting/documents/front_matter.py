"""The front matter of a model card: what model hubs read of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from brainssl.reporting.findings.about import About
from brainssl.reporting.findings.protocols import HONEST
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.titles import is_self_supervised
from brainssl.reporting.wording import METRIC
from brainssl.settings import SEMI_SUPERVISED

# Names by which hubs know the metrics that stand in the front matter.
_HUB_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "auroc_macro": "roc_auc",
}


def front_matter(study: Study, row: Row | None, about: About) -> dict[str, Any]:
    """Return what hubs read of the card.

    Metrics stand there only if they were measured under `grouped`: what hubs make of them bears no
    caution.

    Args:
        study: whose classifier it is.
        row: of the classifier on the test split; None if there is none.
        about: what the authors say.
    """
    tags = ["brain-mri", "medical-imaging", "research-only"]
    tags += ["simulated-data"] if study.facts.get("simulated") else []
    found: dict[str, Any] = {"library_name": "brainssl", "pipeline_tag": "image-classification"}
    if about.model_licence:
        found["license"] = about.model_licence.lower()
    if row is None:
        return found | {"tags": tags}
    tags += ["self-supervised-learning"] if is_self_supervised(row.method) else []
    tags += ["semi-supervised-learning"] if row.method in SEMI_SUPERVISED else []
    found["tags"] = [*tags, row.method]
    if row.protocol != HONEST:
        return found
    measured = [
        {"type": hub, "name": METRIC[name].title, "value": row.metrics[name]}
        for name, hub in _HUB_NAMES.items()
        if row.metrics.get(name) is not None
    ]
    if not measured:
        return found
    dataset = {
        "type": source_name(study),
        "name": source_name(study),
        "split": row.split,
        "args": {
            "protocol": row.protocol,
            "seed": row.seed,
            "split_digest": str(study.split(row.protocol).get("digest") or ""),
        },
    }
    task = {"type": "image-classification", "name": "Image classification"}
    result = {"task": task, "dataset": dataset, "metrics": measured}
    found["model-index"] = [{"name": title(study, row), "results": [result]}]
    return found


def title(study: Study, row: Row) -> str:
    """Name a classifier by its method, its stage and the source of its images."""
    return f"{row.title}, {source_name(study)}"


def source_name(study: Study) -> str:
    """Return the name of the source, or of the folder where the study does not say it."""
    return str(study.facts.get("source") or study.folder.name)


def as_yaml(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield lines of block YAML; scalars are written as JSON, which YAML understands."""
    pairs = value.items() if isinstance(value, Mapping) else [("-", item) for item in value]
    for key, item in pairs:
        head = "  " * depth + ("-" if key == "-" else f"{key}:")
        if isinstance(item, (Mapping, list)):
            inner = list(as_yaml(item, depth + 1))
            if key == "-" and inner:  # the first key of an entry stands beside its dash
                yield f"{head} {inner.pop(0).lstrip()}"
            else:
                yield head
            yield from inner
        else:
            yield f"{head} {_scalar(item)}"


def _scalar(value: str | float) -> str:
    """Return a text or number as JSON that YAML reads as the same."""
    if isinstance(value, str):
        # Escaped only where need be: YAML reads "é" as it is, and folds what cannot be printed.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    text = json.dumps(value)
    return text if "." in text else text.replace("e", ".0e")  # 1e-05 would be a text
