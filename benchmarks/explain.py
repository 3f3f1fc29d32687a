"""Saliency maps beside the forward pass alone and beside the grad-cam library, in one run.

Three maps (Grad-CAM, Grad-CAM++, Eigen-CAM) of the class that is named, for a batch, at the size of
the images. The forward pass is the classifier's own, without gradients, on the same batch: what a
prediction costs. grad-cam is what a user would otherwise pick, with the same network, layer, batch
and classes; it makes one kind of map a call, so each of ours is timed alone as well.

Every round times each of them once, one after the other, so that what else the machine does
weighs on all; figures are medians over rounds, and ratios are taken within a round.

    python benchmarks/explain.py --out results/explain.json
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from brainssl.explanation.activations import activations
from brainssl.explanation.cam import MAPS, at_image_size
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

KINDS = ("gradcam", "gradcampp", "eigencam")
THEIRS = {"gradcam": GradCAM, "gradcampp": GradCAMPlusPlus, "eigencam": EigenCAM}
CLASSES = 17
# Of our time to that of the forward pass, and of theirs to ours.
MOST_FORWARD = 1.3
LEAST_TIMES = {"gradcam": 3.0, "eigencam": 5.0}


def main() -> None:
    """Time every way and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--encoder", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    classifier = made_up_classifier(arguments.encoder, arguments.image_size)
    images = torch.rand(
        arguments.batch, 1, *[arguments.image_size] * 2, generator=torch.Generator().manual_seed(0)
    ).to(next(classifier.parameters()).device)
    ways = ways_of(classifier, images)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run()  # what is set up once is not counted
    for _ in range(arguments.rounds):
        for name, run in ways.items():
            seconds[name].append(timed(run, images.device))
    result = {
        "what": "seconds for the saliency maps of a batch, medians over rounds",
        "command": shlex.join(["python", *sys.argv]),
        **machine(),
        "encoder": arguments.encoder,
        "image_size": arguments.image_size,
        "batch": arguments.batch,
        "classes": CLASSES,
        "rounds": {name: [round(s, 3) for s in own] for name, own in seconds.items()},
        "seconds": {name: round(statistics.median(own), 3) for name, own in seconds.items()},
        **ratios(seconds),
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def made_up_classifier(name: str, size: int) -> Classifier:
    """Return a classifier with random weights where it would run, as `brainssl explain` has it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = build_encoder(name, image_size=size, seed=0)
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, CLASSES)
    classes = tuple(f"class {number}" for number in range(CLASSES))
    made = Classifier(encoder, head, classes, {}).eval()
    return made.to(device).to(memory_format=torch.channels_last)


def ways_of(classifier: Classifier, images: Tensor) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""

    def forward() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = classifier(images)
        return logits

    def ours(*kinds: str) -> list[Tensor]:
        of = activations(classifier, images)
        return [at_image_size(MAPS[kind](of), images.shape[-1]).maps for kind in kinds]

    named = forward().argmax(1).tolist()
    layers = [classifier.encoder.network.get_submodule("layer4")]

    def theirs(kind: str) -> object:
        with THEIRS[kind](model=classifier, target_layers=layers) as cam:
            return cam(input_tensor=images, targets=[ClassifierOutputTarget(n) for n in named])

    ways: dict[str, Callable[[], object]] = {
        "forward": forward,
        "three maps": partial(ours, *KINDS),
    }
    ways |= {f"brainssl {kind}": partial(ours, kind) for kind in KINDS}
    ways |= {f"grad-cam {kind}": partial(theirs, kind) for kind in KINDS}
    return ways


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a call takes, to its end on the device."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ratios(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return what the figures say, and whether that is what is asked of them."""

    def over(one: str, other: str) -> float:
        pairs = zip(seconds[one], seconds[other], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    times = {kind: over(f"grad-cam {kind}", f"brainssl {kind}") for kind in KINDS}
    three = over("three maps", "forward")
    return {
        "three_maps_of_forward": three,
        "times_grad_cam": times,
        "as_asked": {
            "three_maps_of_forward": three <= MOST_FORWARD,
            **{kind: times[kind] >= least for kind, least in LEAST_TIMES.items()},
        },
    }


def machine() -> dict[str, Any]:
    """Say where this ran."""
    gpu = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(0) if gpu else "CPU",
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
