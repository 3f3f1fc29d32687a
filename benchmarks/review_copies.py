"""Of copies under two labels, which of the two do models find likelier that saw neither?

What `brainssl review` found in a study, in numbers without a path: how many images are listed and
why, and of each pair of labels under which the same pixels stand what the models give to each.
One of the two is wrong for certain, so this asks the models what nobody has told them.

    brainssl review runs/study
    python benchmarks/review_copies.py runs/study --out results/review-mri44.json
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.foundation.storage import write_json

KEPT = ("images", "groups", "folds", "listed", "agreement", "wrong", "models", "notes")


def main() -> None:
    """Reduce a review and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("study", type=Path, help="folder of a study that was reviewed")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    folder = arguments.study / "review"
    review = json.loads((folder / "review.json").read_text("utf-8"))
    study = json.loads((arguments.study / "results.json").read_text("utf-8"))["study"]
    result = {
        "what": "labels that are probably wrong, and copies under two labels as models see them",
        "command": shlex.join(["python", *sys.argv]),
        "study": {"command": study["command"], "environment": study["environment"]},
        "digests": [fold["digest"] for fold in study["splits"]["grouped"]["folds"]],
        **{name: review[name] for name in KEPT},
        "copies": copies(pd.read_csv(folder / "review.csv", dtype={"other_label": str})),
    }
    print(json.dumps(result["copies"], indent=2))
    if arguments.out:
        write_json(arguments.out, result)


def copies(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return of each image with a copy under another label what models give to either label.

    A pair stands twice, once from each side, with the models of the fold that tested that image.
    """
    found = rows[rows["why"].str.contains("copies")]
    return [
        {
            "label": row["label"],
            "other_label": row["other_label"],
            "p_label": round(row[f"p:{row['label']}"], 4),
            "p_other": round(row[f"p:{row['other_label']}"], 4),
        }
        for row in found.to_dict("records")
    ]


if __name__ == "__main__":
    main()
