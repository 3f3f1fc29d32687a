"""Linear probe: one linear layer on features that are computed once."""

import dataclasses
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from brainssl.foundation.errors import BrainsslError
from brainssl.settings.sections import ProbeSettings
from brainssl.training.batches import seeded
from brainssl.training.choice import SmoothedChoice
from brainssl.training.solver_warnings import solver_warnings_kept_back
from brainssl.training.trainer import without_decay

STRENGTHS = tuple(10.0**power for power in range(-4, 6))
"""Inverse strengths of the L2 penalty on the mean loss, from all but constant to all but none."""

ENOUGH = 2
"""Strengths in a row that are worse than the best, after which weaker ones are not tried."""

_ITERATIONS = 1000
_MANY = 2**24  # features, from where BLAS may use all threads
_NEVER = -10.0  # the logit of a class without training images: rarer than one in twenty thousand


@dataclass(frozen=True)
class Probe:
    """A fitted head, why it is this one, and the losses of each epoch if there were epochs."""

    head: nn.Linear
    chosen: str
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Labelled:
    """Features with the class of each; the validation set chooses, and is not learnt."""

    features: Float32[np.ndarray, "n dim"]
    labels: Int64[np.ndarray, " n"]


def fit_probe(
    train: Labelled, val: Labelled, *, classes: int, settings: ProbeSettings, seed: int = 0
) -> Probe:
    """Fit a linear classifier on frozen features.

    With `settings.standardise`, features are standardised with the training set's mean and
    deviation; the returned head has that folded in and takes raw features all the same.

    Args:
        train: images whose labels may be used.
        val: the whole validation set.
        classes: number of classes; those without a training image get no chance to be predicted.
        settings: which solver, and the rates of `adamw`.
        seed: of the order of the samples under `adamw`.

    Raises:
        BrainsslError: the features are not finite.
    """
    if not np.isfinite(train.features).all():
        raise BrainsslError("the encoder's features are not finite: its training has diverged")
    fit = _fit_lbfgs if settings.solver == "lbfgs" else _fit_adamw
    if not settings.standardise:
        return fit(train, val, classes, settings, seed)
    mean, scale = _standardisation(train.features)
    inner, outer = (Labelled((part.features - mean) / scale, part.labels) for part in (train, val))
    probe = fit(inner, outer, classes, settings, seed)
    return dataclasses.replace(probe, head=_fold(probe.head, mean, scale))


def _fit_lbfgs(
    train: Labelled, val: Labelled, classes: int, settings: ProbeSettings, seed: int
) -> Probe:
    """L2 logistic regression at its optimum; the penalty has the lowest validation NLL.

    From strong to weak: an optimum without much penalty takes longest to find, and is no longer
    sought where validation has turned against weaker ones.
    """
    del settings, seed  # an optimum knows neither rates nor an order
    present = np.unique(train.labels)
    if len(present) == 1:
        return Probe(_head(classes, train.features.shape[1], present), "a single class", [])
    best, best_loss, place, unreached = None, math.inf, 0, False
    # Each optimum is sought from the one before: that is nearer than zero.
    model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    for tried, strength in enumerate(STRENGTHS):
        model.C = strength / len(train.labels)  # scikit-learn weighs the summed loss by it
        with _alone(train.features.size), solver_warnings_kept_back():
            model.fit(train.features, train.labels)
        head = _head(classes, train.features.shape[1], present)
        coefficients, intercept = model.coef_, model.intercept_
        if len(present) == 2:
            # Of two classes scikit-learn gives one row: the log odds of the second.
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercept = np.concatenate([-intercept / 2, intercept / 2])
        with torch.no_grad():
            head.weight[present] = _tensor(coefficients)
            head.bias[present] = _tensor(intercept)
        loss = _loss(head, val)
        if loss < best_loss:
            best, best_loss, place = head, loss, tried
            unreached = int(np.max(model.n_iter_)) >= _ITERATIONS
        elif tried - place >= ENOUGH:
            break
    if best is None:
        raise BrainsslError("the linear probe has no finite validation loss: its features overflow")
    edges = {0: " (the strongest of all)", len(STRENGTHS) - 1: " (the weakest of all)"}
    told = f"penalty 1/{STRENGTHS[place]:g}{edges.get(place, '')}"
    if unreached:
        told += f" (its optimum was not reached in {_ITERATIONS} iterations)"
    return Probe(best, f"{told}, by the validation NLL {best_loss:.4f}", [])


def _alone(size: int) -> AbstractContextManager[object]:
    """Let BLAS work alone on few numbers, where threads wait for each other longer than they work.

    On busy cores that is most of the time.
    """
    if size > _MANY:
        return nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def _fit_adamw(
    train: Labelled, val: Labelled, classes: int, settings: ProbeSettings, seed: int
) -> Probe:
    """Gradient steps as in the study; the smoothed head with the lowest validation loss is kept."""
    head = _head(classes, train.features.shape[1], np.arange(classes))
    groups = without_decay(head, weight_decay=settings.weight_decay, lr=settings.learning_rate)
    optimizer = torch.optim.AdamW(groups)
    x, y = _tensor(train.features), torch.from_numpy(train.labels)
    choice = SmoothedChoice(smoothing=settings.smoothing, patience=settings.patience)
    history = []
    for epoch in range(settings.epochs):
        order = torch.randperm(len(x), generator=seeded(seed, 2, epoch))
        losses = [
            _step(head, optimizer, x[rows], y[rows])
            for rows in torch.split(order, settings.batch_size)
        ]
        choice.smooth(head)
        val_loss = _loss(head, val)
        history.append(
            {"epoch": epoch + 1, "train_loss": float(np.mean(losses)), "val_loss": val_loss}
        )
        choice.judge(val_loss, head)
        if choice.spent:
            break
    if not choice.best:
        raise BrainsslError("the linear probe diverged: lower probe.learning_rate")
    head.load_state_dict(choice.best)
    return Probe(head, choice.told, history)


def _head(classes: int, dim: int, present: Int64[np.ndarray, " present"]) -> nn.Linear:
    """Return a head of zeros; a class that is not present has all but no chance."""
    head = nn.Linear(dim, classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(_NEVER)
        head.bias[present] = 0.0
    return head


def _loss(head: nn.Linear, part: Labelled) -> float:
    with torch.no_grad():
        logits = head(_tensor(part.features))
        return functional.cross_entropy(logits, torch.from_numpy(part.labels)).item()


def _step(head: nn.Linear, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    loss = functional.cross_entropy(head(x), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _standardisation(
    features: Float32[np.ndarray, "n dim"],
) -> tuple[Float32[np.ndarray, " dim"], Float32[np.ndarray, " dim"]]:
    # A feature that never changes carries nothing: it is left at zero, not divided by zero.
    scale = features.std(axis=0)
    return features.mean(axis=0), np.where(scale > 1e-6, scale, 1).astype(np.float32)


def _tensor(array: "np.ndarray") -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


def _fold(
    head: nn.Linear, mean: Float32[np.ndarray, " dim"], scale: Float32[np.ndarray, " dim"]
) -> nn.Linear:
    with torch.no_grad():
        weight = head.weight / torch.from_numpy(scale)
        head.bias.sub_(weight @ torch.from_numpy(mean))
        head.weight.copy_(weight)
    return head
