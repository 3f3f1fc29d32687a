"""Float64 where it is float32 elsewhere: a formula then holds to nine digits on every processor.

Processors add float32 in different orders, and gradients of large losses show it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor


@contextmanager
def in_float64() -> Iterator[None]:
    """Make new tensors float64, and let `Tensor.float`, which losses call, keep them so."""
    usual = torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)
