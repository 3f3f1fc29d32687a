"""The figures of a finished study, small enough to be committed beside the page that tells them.

Scores on the test set with their intervals, of all folds together and of each alone, differences
of accuracy between models, what was divided how, and how wide the intervals of those differences
are: of all folds together, and in the mean over single folds, each tested as one split would be.
Classical baselines are left out of the widths: they reach their optimum whatever time they have.

    python benchmarks/study_figures.py runs/mri44-folds --out results/mri44-folds.json
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.evaluation.comparison import Comparison, compare_all
from brainssl.studies.arms import Arm, arms_of
from brainssl.studies.grid import RANDOM_LABELS
from brainssl.training.classical import FAMILIES

SCORES = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro", "nll", "ece")
FACTS = ("method", "stage", "protocol", "fold", "label_fraction", "seed", "n", "seconds", "chosen")
ABOUT = ("brainssl", "command", "environment", "seconds", "time", "folds", "seeds", "best")


def main() -> None:
    """Reduce a study and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results = json.loads((arguments.study / "results.json").read_text("utf-8"))
    study, analysis = results["study"], results["analysis"]
    result = {
        "what": "test scores, differences of accuracy and their widths of one study",
        "reduced_by": shlex.join(["python", *sys.argv]),
        "study": {name: study.get(name) for name in ABOUT} | {"splits": divided(study["splits"])},
        "rows": [reduced(row) for row in results["rows"] if row["split"] == "test"],
        "comparisons": [pair for pair in analysis["comparisons"] if pair["metric"] == "accuracy"],
        "random_labels": analysis["random_labels"],
        "widths": widths(arms_of(arguments.study, results["rows"])),
    }
    text = json.dumps(rounded(result))
    print(json.dumps(result["widths"], indent=2))
    if arguments.out:
        arguments.out.write_text(text + "\n")


def divided(splits: dict[str, Any]) -> dict[str, Any]:
    """Return digest, images and groups of each protocol, and of each of its folds."""
    kept = ("digest", "images", "groups", "unlabelled", "folds", "near_duplicates")
    return {name: {k: own[k] for k in kept if k in own} for name, own in splits.items()}


def reduced(row: dict[str, Any]) -> dict[str, Any]:
    """Return who a row is of, its scores and their intervals."""
    own = {name: row[name] for name in FACTS if name in row}
    parts = {part: {name: row[part][name] for name in SCORES} for part in ("metrics", "intervals")}
    return own | parts


def widths(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Return the mean width in points of differences between networks, by label fraction."""
    found = []
    networks = [arm for arm in arms if arm.method not in (*FAMILIES, RANDOM_LABELS)]
    for fraction in dict.fromkeys(arm.label_fraction for arm in networks):
        own = [arm for arm in networks if arm.label_fraction == fraction]
        ways = {"all": [own]}
        if own[0].folds:
            ways["single folds"] = [[arm.folds[n] for arm in own] for n in range(len(own[0].folds))]
        for way, groups in ways.items():
            pairs = [pair for group in groups for pair in compared(group)]
            found.append(
                {
                    "label_fraction": fraction,
                    "of": way,
                    "models": len(own),
                    "groups": fmean(len(set(g[0].of("test")[0].groups)) for g in groups),
                    "width": 100 * fmean(p.interval[1] - p.interval[0] for p in pairs),
                    "told_apart": fmean(not p.interval[0] <= 0 <= p.interval[1] for p in pairs),
                }
            )
    return found


def compared(arms: Sequence[Arm]) -> list[Comparison]:
    """Compare each pair of models by accuracy on the test set."""
    models = {arm.name: arm.of("test") for arm in arms}
    return list(compare_all(models, metrics=["accuracy"]))


def rounded(value: Any) -> Any:
    """Return the same with numbers of five decimals."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: rounded(own) for name, own in value.items()}
    return [rounded(own) for own in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
