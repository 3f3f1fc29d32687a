"""The losses as sums over Python floats, term by term as the papers write them."""

import math
from collections.abc import Sequence

from torch import Tensor

Rows = Sequence[Sequence[float]]


def dot(one: Sequence[float], two: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, two, strict=True))


def unit(rows: Tensor) -> Rows:
    """Return rows of length 1."""
    return [[x / math.hypot(*row) for x in row] for row in rows.tolist()]


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, pools: Sequence[int] | None = None
) -> float:
    """SimCLR: each of the 2n views looks for its partner among all others.

    With pools the others are the partner, and views of images of other pools.
    """
    views = [*unit(first), *unit(second)]
    n = len(first)
    pools = range(n) if pools is None else pools
    losses = []
    for i, anchor in enumerate(views):
        partner = (i + n) % (2 * n)
        others = [partner, *(k for k in range(2 * n) if pools[k % n] != pools[i % n])]
        similarity = {k: math.exp(dot(anchor, views[k]) / temperature) for k in others}
        losses.append(-math.log(similarity[partner] / sum(similarity.values())))
    return sum(losses) / len(losses)


def supervised_contrastive(
    first: Tensor,
    second: Tensor,
    classes: Sequence[int],
    temperature: float,
    pools: Sequence[int] | None = None,
) -> float:
    """L_out: the mean over positives stands outside of the logarithm, then that over views.

    Those of a view are all other views of its class, or of its image where the class is -1. With
    pools, views of other images of its pool that are no positives count for nothing.
    """
    views = [*unit(first), *unit(second)]
    n = len(first)
    pools = range(n) if pools is None else pools
    losses = []
    for i, anchor in enumerate(views):
        positives = {(i + n) % (2 * n)}
        if classes[i % n] >= 0:
            positives |= {k for k in range(2 * n) if k != i and classes[k % n] == classes[i % n]}
        others = positives | {k for k in range(2 * n) if pools[k % n] != pools[i % n]}
        power = {k: math.exp(dot(anchor, views[k]) / temperature) for k in others - {i}}
        terms = [-math.log(power[k] / sum(power.values())) for k in positives]
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


def regression(prediction: Tensor, target: Tensor) -> float:
    """BYOL, one direction: squared distance of unit vectors."""
    pairs = zip(unit(prediction), unit(target), strict=True)
    squares = [sum((p - z) ** 2 for p, z in zip(one, two, strict=True)) for one, two in pairs]
    return sum(squares) / len(squares)


def info_nce(
    queries: Tensor, keys: Tensor, temperature: float, pools: Sequence[int] | None = None
) -> float:
    """MoCo v3, one direction: each query looks for its own key among all keys.

    With pools among its own, and the keys of images of other pools.
    """
    candidates = unit(keys)
    pools = range(len(candidates)) if pools is None else pools
    losses = []
    for i, query in enumerate(unit(queries)):
        similarity = [math.exp(dot(query, key) / temperature) for key in candidates]
        others = sum(s for k, s in enumerate(similarity) if pools[k] != pools[i])
        losses.append(-math.log(similarity[i] / (similarity[i] + others)))
    return sum(losses) / len(losses)


def softmax(row: Sequence[float], temperature: float) -> list[float]:
    top = max(row)
    powers = [math.exp((x - top) / temperature) for x in row]
    return [power / sum(powers) for power in powers]


def dino(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    *,
    student_temperature: float,
    teacher_temperature: float,
) -> float:
    """DINO: −p_t · log p_s for each pair of a global crop and another crop, over pairs and images.

    Args:
        student: (crops, images, answers), global crops first.
        teacher: (global crops, images, answers).
        centre: (answers).
        student_temperature: of the student.
        teacher_temperature: of the teacher.
    """
    middle = centre.tolist()
    losses = []
    for j, taught in enumerate(teacher.tolist()):
        for i, answered in enumerate(student.tolist()):
            if i == j:
                continue
            for image in range(len(taught)):
                centred = [z - c for z, c in zip(taught[image], middle, strict=True)]
                target = softmax(centred, teacher_temperature)
                answer = softmax(answered[image], student_temperature)
                pairs = zip(target, answer, strict=True)
                losses.append(-sum(p * math.log(q) for p, q in pairs if p))
    return sum(losses) / len(losses)


def barlow_twins(first: Tensor, second: Tensor, redundancy: float) -> float:
    """Barlow Twins: equation 1 over equation 2, with the 1e-5 of BatchNorm under the root."""
    one, two = (_standardised(rows) for rows in (first, second))
    n, dim = first.shape
    loss = 0.0
    for i in range(dim):
        for j in range(dim):
            correlation = sum(one[b][i] * two[b][j] for b in range(n)) / n
            loss += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return loss


def _standardised(rows: Tensor) -> Rows:
    columns = []
    for column in zip(*rows.tolist(), strict=True):
        mean = sum(column) / len(column)
        variance = sum((x - mean) ** 2 for x in column) / len(column)
        columns.append([(x - mean) / math.sqrt(variance + 1e-5) for x in column])
    return list(zip(*columns, strict=True))


def nearest(projections: Tensor, support: Tensor) -> list[int]:
    """NNCLR: which row of `support` has the largest cosine with each projection."""
    known = unit(support)
    return [max(range(len(known)), key=lambda i: dot(row, known[i])) for row in unit(projections)]
