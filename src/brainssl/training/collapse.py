"""Is a pretraining learning, or has it collapsed? Measures of embeddings, and what they say.

A falling loss proves nothing: a network that answers every image alike has a fine loss.
"""

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from brainssl.settings import LABELLED_METHODS

PATIENCE = 2  # epochs in a row, before it is said
# Optimiser steps before anything is judged: a network that has hardly moved looks like one that has
# collapsed, and the running statistics of its BatchNorm are partly those of the start still.
SETTLED = 50
# Between what methods show that learn and that collapse (docs/why/collapse.md has both).
_LEAST_SPREAD = 0.3
_LEAST_GAP = 0.02
# A teacher's outputs may tell images apart long before they are spread.
_LEAST_SPREAD_OF_ANSWERS = 0.1
_LEAST_GAP_OF_ANSWERS = 0.005
_LEAST_INFORMATION = 0.02
_FEWEST_ANSWERS = 4.0
_UNDECIDED = 0.9  # of the entropy of a uniform answer


@dataclass(frozen=True)
class Health:
    """What is seen of a method after an epoch; epoch 0 is before training.

    Attributes:
        epoch: finished.
        step: of the optimiser, how many are done.
        knn_accuracy: of the validation images by their nearest training images; None without
            labels.
        spread: of unit embeddings over images, see `spread`.
        effective_rank: see `effective_rank`.
        similarity_gap: mean cosine of two views of one image, less that of two images.
        alignment: see `alignment`.
        uniformity: see `uniformity`.
        teacher_entropy: mean entropy of the teacher's answers in nats; None without answers.
        teacher_information: entropy of the mean answer, less `teacher_entropy`: what an answer
            tells of the image, in nats.
        answers: how many answers the teacher chooses from.
    """

    epoch: int
    step: int
    knn_accuracy: float | None
    spread: float
    effective_rank: float
    similarity_gap: float
    alignment: float
    uniformity: float
    teacher_entropy: float | None = None
    teacher_information: float | None = None
    answers: int | None = None

    def as_json(self) -> dict[str, float | None]:
        """Return a row for a file; what is not finite is None."""
        row = asdict(self)
        return {k: v if v is None or math.isfinite(v) else None for k, v in row.items()}


def measure(
    first: Float[Tensor, "n dim"],
    second: Float[Tensor, "n dim"],
    answers: Float[Tensor, "n k"] | None,
    *,
    epoch: int,
    step: int,
    knn: float | None,
) -> Health:
    """Measure embeddings of two views of the same images.

    Args:
        first: embeddings of one view of each image.
        second: of the other view, in the same order.
        answers: the teacher's probabilities for the first view, if it gives some.
        epoch: finished.
        step: of the optimiser, how many are done.
        knn: accuracy on the validation images.
    """
    one, two = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    entropy = information = None
    if answers is not None:
        entropy = _entropy(answers).mean().item()
        information = _entropy(answers.mean(dim=0)).item() - entropy
    return Health(
        epoch=epoch,
        step=step,
        knn_accuracy=knn,
        spread=spread(one),
        effective_rank=effective_rank(first),
        similarity_gap=((one * two).sum(dim=1).mean() - _off_diagonal(one @ two.T).mean()).item(),
        alignment=alignment(one, two),
        uniformity=uniformity(one),
        teacher_entropy=entropy,
        teacher_information=information,
        answers=None if answers is None else answers.shape[1],
    )


def spread(unit: Float[Tensor, "n dim"]) -> float:
    """Return √dim times the mean standard deviation of the dimensions of unit vectors.

    1 for directions drawn evenly, 0 for a single one (Chen & He 2021, section 4.1).
    """
    return unit.std(dim=0, correction=0).mean().item() * math.sqrt(unit.shape[1])


def effective_rank(embeddings: Float[Tensor, "n dim"]) -> float:
    """Return exp of the entropy of the normalised singular values (RankMe, Garrido et al. 2023).

    NaN where an embedding is not finite.
    """
    if not embeddings.isfinite().all():
        return math.nan
    values = torch.linalg.svdvals(embeddings.cpu().double())
    return math.exp(_entropy(values / values.sum().clamp(min=1e-300)).item())


def alignment(first: Float[Tensor, "n dim"], second: Float[Tensor, "n dim"]) -> float:
    """Return the mean squared distance of unit vectors of two views (Wang & Isola 2020)."""
    return (first - second).square().sum(dim=1).mean().item()


def uniformity(unit: Float[Tensor, "n dim"]) -> float:
    """Return log of the mean of exp(−2 d²) over pairs of images (Wang & Isola 2020).

    0 where all are the same; about −4 where they fill the sphere.
    """
    squared = (2 - 2 * _off_diagonal(unit @ unit.T)).clamp(min=0)
    return torch.exp(-2 * squared).mean().log().item()


def knn_accuracy(
    train: Float[Tensor, "n dim"],
    train_labels: Int64[Tensor, " n"],
    val: Float[Tensor, "m dim"],
    val_labels: Int64[Tensor, " m"],
    *,
    k: int,
) -> float:
    """Return the accuracy of a vote of the k nearest by cosine, weighted by exp(cosine/0.07).

    The weights are those of Wu et al. 2018 (section 3.4). `k` must not exceed the smallest class:
    `largest_k`.
    """
    similarity = functional.normalize(val, dim=1) @ functional.normalize(train, dim=1).T
    near, rows = similarity.topk(k, dim=1)
    votes = torch.zeros(len(val), int(train_labels.max()) + 1, device=val.device)
    votes.scatter_add_(1, train_labels[rows], (near / 0.07).exp())
    return (votes.argmax(dim=1) == val_labels).float().mean().item()


def largest_k(labels: Int64[Tensor, " n"], *, wanted: int = 10) -> int:
    """Return `wanted`, or the size of the smallest class if that is less."""
    return min(wanted, int(labels.bincount()[labels].min()))


def verdict(history: list[Health], method: str) -> str | None:
    """Say in plain words what is wrong, since when and what to try; None if nothing is.

    Something is wrong when the last `PATIENCE` epochs show it, each after `SETTLED` steps.

    Args:
        history: in the order of the epochs.
        method: its name, for the sentence.
    """
    # Whoever learns from labels puts a class in one place, and few classes are not even.
    even = method not in LABELLED_METHODS
    judged = [(health.epoch, _fault(health, even=even)) for health in history]
    if len(judged) < PATIENCE or any(fault is None for _, fault in judged[-PATIENCE:]):
        return None
    fault = judged[-1][1]
    since = next(i for i in range(len(judged), 0, -1) if i == 1 or judged[i - 2][1] is None)
    return f"{method}: since epoch {judged[since - 1][0]}, {fault}"


def _fault(health: Health, *, even: bool) -> str | None:
    """Say what is wrong; `even`: whether embeddings ought to spread over all dimensions."""
    # What is no longer a number is no longer anything else.
    if not all(map(math.isfinite, (health.spread, health.similarity_gap, health.effective_rank))):
        return "embeddings are not finite: lower the learning rate"
    if health.step < SETTLED:
        return None
    return _fault_of_answers(health) or _fault_of_embeddings(health, even=even)


def _fault_of_embeddings(health: Health, *, even: bool) -> str | None:
    least_spread, least_gap = (
        (_LEAST_SPREAD, _LEAST_GAP)
        if health.answers is None
        else (_LEAST_SPREAD_OF_ANSWERS, _LEAST_GAP_OF_ANSWERS)
    )
    if even and health.spread < least_spread:
        return (
            f"all images get nearly the same embedding (spread {health.spread:.3f}, 1 is even): "
            "lower the learning rate, or raise the momentum if there is a teacher"
        )
    if health.similarity_gap < least_gap:
        return (
            "embeddings tell views apart and not images (two views of an image are "
            f"{health.similarity_gap:.3f} more alike than views of two images): raise "
            "views.crop_area, or change the learning rate"
        )
    return None


def _fault_of_answers(health: Health) -> str | None:
    entropy, information = health.teacher_entropy, health.teacher_information
    if entropy is None or information is None or health.answers is None:
        return None
    used = math.exp(entropy + information)  # that many even ones have the entropy of the mean one
    if information >= _LEAST_INFORMATION and used >= _FEWEST_ANSWERS:
        return None
    told = f"it uses {used:.1f} of {health.answers}, and one tells {information:.3f} nats"
    if entropy > _UNDECIDED * math.log(health.answers):
        return (
            f"the teacher is undecided about every image (of its answers {told}): lower its "
            "temperature, or take fewer prototypes"
        )
    return (
        f"the teacher gives nearly the same answer for every image ({told}): lower "
        "dino.centre_momentum so that the centre follows, or raise the teacher's temperature"
    )


def _entropy(probabilities: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=-1)
    return entropy


def _off_diagonal(matrix: Float[Tensor, "n n"]) -> Float[Tensor, " pairs"]:
    return matrix[~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)]
