"""Two heads are laid over each other by the best turn, zoom and shift: imports PyTorch."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from brainssl.data.fingerprint import SIDE

_STEPS = 3  # poses that are judged in pictures of half the side, and then in whole ones
_HOPELESS = 0.7  # likeness of coarse pictures below which a pair is left
_LEAST = 0.2  # likeness that a step reckons with
_ZOOM = 1.35  # a copy's head that differs by more was cut
_LONGEST = (0.15, 0.15, 2.0, 2.0)  # of one step: share, radians, pixels, pixels


def aligned(
    still: Float32[np.ndarray, "n side side"],
    moved: Float32[np.ndarray, "n side side"],
    angle: Float32[np.ndarray, " n"],
) -> Float32[np.ndarray, " n"]:
    """Return the similarity of pairs of heads after the best turn, zoom and shift of one of them.

    Gauss-Newton steps on the difference of the normalised pictures, in the inverse compositional
    form: the gradients are those of the picture that stays (Baker and Matthews 2004, section 3.2).

    Args:
        still: pictures of mean 0 and norm 1 that stay.
        moved: pictures that are turned onto them.
        angle: degrees, clockwise, to begin with.

    Returns:
        The largest correlation that a step reached, in [-1, 1]; of pictures that are left after
        those of half the side, what these reached, at most 0.7.
    """
    goal, seen = torch.from_numpy(still), torch.from_numpy(moved)
    begin = np.exp(-1j * np.deg2rad(angle)).astype(np.complex64)
    pose = _Pose(torch.from_numpy(begin), torch.zeros(len(still), dtype=torch.complex64))
    coarse, pose = _stepped(_coarse(goal), _coarse(seen), pose)
    live = (coarse > _HOPELESS) & pose.within
    best = coarse.clamp(max=_HOPELESS)
    best[live] = _stepped(goal[live], seen[live], pose.where(live))[0]
    return np.asarray(best.numpy(), np.float32)


class _Pose:
    """Turn and zoom `a` and shift `b` of pictures: the place z shows what lies at a·z + b."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b

    @property
    def within(self) -> Tensor:
        """Which are zoomed no more than a copy may be."""
        size = self.a.abs()
        return (size < _ZOOM) & (size > 1 / _ZOOM)

    def where(self, kept: Tensor) -> "_Pose":
        return _Pose(self.a[kept], self.b[kept])


def _stepped(still: Tensor, moved: Tensor, pose: _Pose) -> tuple[Tensor, _Pose]:
    """Return the best likeness of some steps, and where they led.

    As the slopes and the picture that stays have mean 0 and the slopes lie across that picture,
    the step to the difference of the normalised pictures is the slopes' share in what is seen by
    the picture's share in it.
    """
    slopes = _slopes(still)
    back = torch.linalg.pinv(slopes @ slopes.transpose(1, 2), hermitian=True)
    flat = still.flatten(1)[:, None]
    shares = torch.cat([slopes, flat, torch.full_like(flat, 1 / still.shape[1])], 1)
    longest = torch.tensor(_LONGEST)
    best, within = torch.full((len(still),), -1.0), pose.within
    for _ in range(_STEPS):
        seen = _sampled(moved, pose)
        *along, own, mean = torch.bmm(shares, seen[:, :, None])[:, :, 0].unbind(1)
        norm = (seen.norm(dim=1) ** 2 - mean**2).clamp(min=0).sqrt() + 1e-9
        best = torch.where(within, torch.maximum(best, own / norm), best)
        share = torch.stack(along, 1) / torch.maximum(own, _LEAST * norm)[:, None]
        step = torch.bmm(back, share[:, :, None])[:, :, 0].clamp(-longest, longest)
        turned = pose.a / torch.complex(1 + step[:, 0], step[:, 1])
        pose = _Pose(turned, pose.b - turned * torch.complex(step[:, 2], step[:, 3]))
        within &= pose.within
    return best, pose


def _slopes(still: Tensor) -> Tensor:
    """Return how each picture changes as it is zoomed, turned and shifted, (n, 4, d)."""
    x, y = map(torch.from_numpy, _places(still.shape[1]))
    pixel = SIDE / still.shape[1]
    down, right = (s.flatten(1) for s in torch.gradient(still, spacing=pixel, dim=(1, 2)))
    slopes = torch.stack([right * x + down * y, down * x - right * y, right, down], 1)
    flat = still.flatten(1)
    # What only brightens or stretches the picture is no movement.
    slopes -= slopes.mean(2, keepdim=True)
    slopes -= (slopes * flat[:, None]).sum(2, keepdim=True) * flat[:, None]
    return slopes


def _coarse(pictures: Tensor) -> Tensor:
    """Return pictures of half the side, of norm 1."""
    half: Tensor = avg_pool2d(pictures[:, None], 2)[:, 0]
    half /= half.flatten(1).norm(dim=1)[:, None, None] + 1e-9
    return half


def _sampled(pictures: Tensor, pose: _Pose) -> Tensor:
    """Read each picture at a·z + b for every place z, linearly between pixels, nothing outside."""
    a, b, side = pose.a, pose.b, pictures.shape[1]
    parts = torch.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], 1)
    grid = (parts @ torch.from_numpy(_grid(side))).view(len(a), side, side, 2)
    seen: Tensor = grid_sample(pictures[:, None], grid, align_corners=False)
    return seen.flatten(1)


@cache
def _places(side: int) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, " d"]]:
    """Return how far pixels lie right of the centre and below it, in pixels of `SIDE` a side."""
    along = ((np.arange(side) - (side - 1) / 2) * SIDE / side).astype(np.float32)
    x, y = np.meshgrid(along, along)
    return x.ravel(), y.ravel()


@cache
def _grid(side: int) -> Float32[np.ndarray, "6 2*d"]:
    """Return what turns the six numbers of a pose into places x, y, of which 1 is the edge."""
    across = np.stack([*_places(side), np.ones(side * side, np.float32)])
    none = np.zeros_like(across)
    both = np.stack([np.concatenate([across, none]), np.concatenate([none, across])], axis=2)
    return np.ascontiguousarray(both.reshape(6, -1) * np.float32(2 / SIDE))
