"""Learn sequences and planes from simulated slices, for collections that cannot teach them.

    brainssl phantom phantom-7 --patients 130 --size 64 --seed 7
    python benchmarks/sequence_fallback.py phantom-7

It writes `src/brainssl/data/appearance/simulated.json`. The phantom's seed is not that of the one
on which `benchmarks/sequence_check.py` measures.
"""

import argparse
import json
from pathlib import Path

from sequence_check import phantom_slices

from brainssl.data.appearance import simulated

OUT = Path(simulated.__file__).with_name(simulated.TABLE)


def main() -> None:
    """Learn from a phantom and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phantom", type=Path)
    asked = parser.parse_args()
    slices = phantom_slices(asked.phantom)
    models = simulated.learnt(slices.features(), slices.sequences, slices.planes)
    held = {
        "simulator": {
            name: slices.facts[name] for name in ("simulator_version", "seed", "patients", "size")
        },
        "models": {name: model.written() for name, model in models.items()},
    }
    OUT.write_text(json.dumps(held) + "\n", "utf-8")


if __name__ == "__main__":
    main()
