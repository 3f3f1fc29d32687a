"""How much better is each model of a finished study than its supervised baseline?

For each method, stage and label fraction: the accuracy on the test set minus that of supervised
training at the same fraction, both averaged over the training seeds, with a 95 % interval of the
paired cluster bootstrap: the same groups are drawn for both models. Linear probes are also
compared with the probe of the untrained encoder. The intervals are not widened for the number of
comparisons, and do not hold the scatter over further seeds.

    python benchmarks/paired_differences.py runs/study --out results/differences.json
"""

import argparse
import json
import shlex
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from brainssl.evaluation.intervals import percentile_intervals, resample
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions

METRIC = "accuracy"
Key = tuple[str, str, str, float]  # protocol, stage, method, label fraction
Draws = Float64[np.ndarray, " draws"]


def main() -> None:
    """Compare every model of a study and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    results = json.loads((arguments.study / "results.json").read_text("utf-8"))
    figures = differences(arguments.study, results["rows"], arguments.draws)
    result = {
        "what": f"paired differences of {METRIC} on the test set, in the mean over seeds",
        "command": shlex.join(["python", *sys.argv]),
        "study": results["study"]["command"],
        "draws": arguments.draws,
        "differences": figures,
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def differences(folder: Path, rows: list[dict[str, Any]], draws: int) -> list[dict[str, Any]]:
    """Return a figure for each model and baseline that share protocol and label fraction."""
    models: dict[Key, list[tuple[float, Draws]]] = defaultdict(list)
    for row in rows:
        if row["split"] == "test":
            key = (row["protocol"], row["stage"], row["method"], row["label_fraction"])
            models[key].append((row["metrics"][METRIC], drawn(folder / row["step"], draws)))
    figures = []
    for (protocol, stage, method, fraction), ours in models.items():
        baselines = [("supervised", "supervised"), ("linear", "untrained")]
        for other_stage, other in baselines:
            theirs = models.get((protocol, other_stage, other, fraction))
            if theirs is None or other == method or (other == "untrained" and stage != "linear"):
                continue
            means = [np.mean([value for value, _ in seeds]) for seeds in (ours, theirs)]
            samples = [np.mean([values for _, values in seeds], axis=0) for seeds in (ours, theirs)]
            low, high = percentile_intervals((samples[0] - samples[1])[:, None], 0.95)[0]
            figures.append(
                {
                    "protocol": protocol,
                    "stage": stage,
                    "method": method,
                    "label_fraction": fraction,
                    "baseline": other,
                    "seeds": len(ours),
                    METRIC: round(float(means[0]), 4),
                    "of_the_baseline": round(float(means[1]), 4),
                    "difference": round(float(means[0] - means[1]), 4),
                    "interval": [round(low, 4), round(high, 4)],
                }
            )
    return figures


def drawn(step: Path, draws: int) -> Draws:
    """Return the metric of a model on the test set under each draw of groups."""
    predictions = Predictions.load(step / "predictions.parquet").of("test")
    overall: Draws = resample(predictions, draws=draws).overall[:, METRICS.index(METRIC)]
    return overall


if __name__ == "__main__":
    main()
