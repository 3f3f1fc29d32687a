"""Maps of a classifier for a set of slices, and everything that can be measured of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int64, UInt
from torch import Tensor

from brainssl.explanation.activations import activations
from brainssl.explanation.cam import MAPS, ROLLOUT, at_image_size
from brainssl.explanation.faithfulness import (
    BASELINES,
    STEPS,
    Baseline,
    ends_of,
    insertion_deletion,
)
from brainssl.explanation.localisation import centred_blob, localise, random_maps
from brainssl.explanation.robustness import CHANGES, DRAWS, cascade, sensitivity
from brainssl.explanation.rollout import has_attention
from brainssl.explanation.scorecard import CENTRE, RANDOM
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder
from brainssl.models.tokens import last_tokens
from brainssl.views.recipes import as_tensor, to_unit

STUDIED = ("gradcam", "gradcampp", "eigencam")
STUDIED_OF_TOKENS = ("gradcam", "eigencam", ROLLOUT)

_BATCH = 64

Mask = Bool[np.ndarray, "size size"]


@dataclass(frozen=True, eq=False)
class Cases:
    """Slices to explain.

    Attributes:
        images: grey values as an ImageStore holds them.
        image_ids: one a slice.
        groups: the patient, or cluster of near-duplicates, of each.
        lesions: where each lesion is; None where that is not known.
    """

    images: UInt[np.ndarray, "n size size"]
    image_ids: tuple[str, ...]
    groups: Int64[np.ndarray, " n"]
    lesions: tuple[Mask | None, ...]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, own: slice) -> "Cases":
        """Return some of them."""
        return Cases(self.images[own], self.image_ids[own], self.groups[own], self.lesions[own])


@dataclass(frozen=True, eq=False)
class Explained:
    """What a classifier says of slices, where it looks, and how good the maps are.

    Attributes:
        logits: of all classes.
        maps: by kind, from 0 to 1, of the class that was predicted.
        peaks: by kind, the largest value of each raw map; 0 says that there is no evidence.
        raw: by kind, as they come from the layer.
        measures: one row a slice and kind of map, those that know nothing included: `image_id`,
            `group`, `map`, and a column a measure of `brainssl.explanation.scorecard.MEASURES`.
        cascade: one row a slice, kind of map and block of weights: `image_id`, `group`, `map`,
            `block`, `likeness`.
    """

    logits: Float32[np.ndarray, "n classes"]
    maps: dict[str, Float32[np.ndarray, "n size size"]]
    peaks: dict[str, Float32[np.ndarray, " n"]]
    raw: dict[str, Float32[np.ndarray, "n rows columns"]]
    measures: pd.DataFrame
    cascade: pd.DataFrame

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the raw maps."""
        _, rows, columns = next(iter(self.raw.values())).shape
        return rows, columns


@dataclass(frozen=True)
class How:
    """How to explain.

    Attributes:
        kinds: of maps, names of `brainssl.explanation.cam.MAPS`; none: those that are usual for the
            encoder, `STUDIED` or, of a transformer, `STUDIED_OF_TOKENS`.
        layer: see `brainssl.explanation.activations.activations`.
        baselines: what takes the place of pixels in insertion and deletion.
        steps: of insertion and deletion.
    """

    kinds: tuple[str, ...] = ()
    layer: str | None = None
    baselines: tuple[Baseline, ...] = BASELINES
    steps: int = STEPS

    def of(self, encoder: Encoder) -> "How":
        """Return the same with the kinds of maps of an encoder, where none are named."""
        if self.kinds:
            return self
        if last_tokens(encoder.network) is None:
            return replace(self, kinds=STUDIED)
        usual = STUDIED_OF_TOKENS if has_attention(encoder) else STUDIED_OF_TOKENS[:-1]
        return replace(self, kinds=usual)

    @property
    def passes(self) -> int:
        """Runs of the network that a slice takes, about: six blocks of weights are drawn anew."""
        measured = len(self.kinds or STUDIED) + len((RANDOM, CENTRE))
        curves = len(self.baselines) * (2 + 2 * measured * (self.steps - 1))
        return 1 + curves + (1 + CHANGES) + (1 + 6 * DRAWS)


BRIEF = How(baselines=("blurred",), steps=8)
"""What a study does for each of its models: enough for its scorecard, at a quarter of the price."""


def explain(
    classifier: Classifier,
    cases: Cases,
    how: How | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Make maps of the class that is predicted, and measure them.

    Each kind of map is measured beside two that know nothing of the classifier: a smooth random
    field, and a blob in the middle of the slice, where heads are.

    Args:
        classifier: on the device where it is to run.
        cases: what to explain; at least one.
        how: kinds of maps, layer, baselines and steps.
        progress: called with (slices done, slices in all).

    Raises:
        BrainsslError: the encoder or the layer gives no feature map with height and width, or a
            kind of map is not to be had of it.
    """
    how = (how or How()).of(classifier.encoder)
    parts = []
    for start in range(0, len(cases), _BATCH):
        parts.append(_explain(classifier, cases.part(slice(start, start + _BATCH)), how, start))
        if progress:
            progress(min(start + _BATCH, len(cases)), len(cases))
    return Explained(
        np.concatenate([part.logits for part in parts]),
        {kind: np.concatenate([part.maps[kind] for part in parts]) for kind in how.kinds},
        {kind: np.concatenate([part.peaks[kind] for part in parts]) for kind in how.kinds},
        {kind: np.concatenate([part.raw[kind] for part in parts]) for kind in how.kinds},
        pd.concat([part.measures for part in parts], ignore_index=True),
        pd.concat([part.cascade for part in parts], ignore_index=True),
    )


def _explain(classifier: Classifier, cases: Cases, how: How, first: int) -> Explained:
    """Explain a batch, of which the first slice has this number among all."""
    device = next(classifier.parameters()).device
    images = to_unit(as_tensor(np.ascontiguousarray(cases.images)).to(device))
    size = images.shape[-1]
    attention = ROLLOUT in how.kinds
    of = activations(classifier, images, layer=how.layer, attention=attention)
    targets = of.targets[:, 0]
    raw = {kind: MAPS[kind](of) for kind in how.kinds}
    found = {kind: at_image_size(own, size) for kind, own in raw.items()}
    maps = {kind: saliency.maps[:, 0] for kind, saliency in found.items()}
    blind = {
        RANDOM: torch.from_numpy(random_maps(len(cases), size, seed=first)).to(device),
        CENTRE: torch.from_numpy(centred_blob(len(cases), size)).to(device),
    }

    def mapper(model: Classifier, given: Tensor) -> Tensor:
        own = activations(model, given, targets, layer=how.layer, attention=attention)
        return torch.cat([at_image_size(MAPS[kind](own), size).maps for kind in how.kinds], 1)

    moved = sensitivity(mapper, classifier, images, seed=first)
    likeness = cascade(mapper, classifier, images)
    nothing_learnt = list(likeness.values())[-1]
    keys = pd.DataFrame({"image_id": cases.image_ids, "group": cases.groups})
    faithful = _faithfulness(classifier, images, targets, how)
    measures = [
        keys.assign(map=kind, **_localised(own, cases.lesions), **faithful(own))
        for kind, own in (maps | blind).items()
    ]
    for place, frame in enumerate(measures[: len(how.kinds)]):
        frame["sensitivity"], frame["randomised"] = moved[:, place], nothing_learnt[:, place]
    fading = [
        keys.assign(map=kind, block=block, likeness=values[:, place])
        for block, values in likeness.items()
        for place, kind in enumerate(how.kinds)
    ]
    return Explained(
        of.logits.cpu().numpy(),
        {kind: own.cpu().numpy() for kind, own in maps.items()},
        {kind: saliency.peaks[:, 0].cpu().numpy() for kind, saliency in found.items()},
        {kind: own[:, 0].cpu().numpy() for kind, own in raw.items()},
        pd.concat(measures),
        pd.concat(fading),
    )


def _localised(
    maps: Float32[Tensor, "n size size"], lesions: Sequence[Mask | None]
) -> dict[str, np.ndarray]:
    """Return how well maps find lesions, where there are some."""
    if all(lesion is None for lesion in lesions):
        return {}
    nothing = np.zeros(maps.shape[1:], bool)  # no lesion to be found: not a number
    masks = np.stack([nothing if lesion is None else lesion for lesion in lesions])
    return localise(maps.cpu().numpy(), masks)


def _faithfulness(
    classifier: Classifier,
    images: Float32[Tensor, "n 1 size size"],
    targets: Int64[Tensor, " n"],
    how: How,
) -> Callable[[Float32[Tensor, "n size size"]], dict[str, np.ndarray]]:
    """Return what measures whether the places that maps name count for the classifier."""

    def network(given: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = classifier(given)
        return logits

    ends = {
        baseline: ends_of(network, images, targets, baseline=baseline) for baseline in how.baselines
    }

    def measured(maps: Float32[Tensor, "n size size"]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for baseline, known in ends.items():
            curves = insertion_deletion(
                network, images, maps, targets, baseline=baseline, steps=how.steps, ends=known
            )
            found |= {f"{name}_{baseline}": area for name, area in curves.areas().items()}
        return found

    return measured
