"""Projectors."""

from torch import nn


def mlp(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Linear → ReLU → Linear, without normalisation.

    SimCLR's projector in the study: Linear(2048 → 512), ReLU, Linear(512 → 128) (section 3.5.2).
    The contrastive loss invites the last layers to forget what it does not need, so the encoder
    stops before the projector (Chen et al. 2020, section 4.2).
    """
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, out_dim)
    )
