"""bfloat16 on a processor is refused where it would be wrong, and nowhere else."""

from contextlib import nullcontext

import pytest

from brainssl.foundation.errors import BrainsslError
from brainssl.hardware import device as hardware
from brainssl.models.encoder import build_encoder
from brainssl.settings.sections import RunSettings
from brainssl.training.single_pixels import refuse_single_pixels

ON_CPU = RunSettings(accelerator="cpu", precision="bf16-mixed")


def test_a_strided_convolution_on_one_pixel_is_refused() -> None:
    encoder = build_encoder("resnet18", image_size=64, seed=0)
    # By strides of 2 in stem, pooling and stages: 16 px are 8, 4, 4, 2, 1 and 1 again.
    with pytest.raises(BrainsslError, match=r"at 16 px the layer layer4\.0\.conv1 of resnet18"):
        refuse_single_pixels(encoder, [64, 16], ON_CPU)
    refuse_single_pixels(encoder, [64, 32], ON_CPU)
    assert encoder.training


def test_in_float32_any_size_is_taken() -> None:
    encoder = build_encoder("resnet18", image_size=64, seed=0)
    exact = RunSettings(accelerator="cpu", precision="32-true")
    refuse_single_pixels(encoder, [16], exact)


def test_in_auto_the_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_encoder("resnet18", image_size=64, seed=0)
    for has_units in (False, True):
        monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda has=has_units: has)
        with pytest.raises(BrainsslError) if has_units else nullcontext():
            refuse_single_pixels(encoder, [16], RunSettings(accelerator="cpu"))


def test_in_auto_depthwise_convolutions_make_it_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda: True)
    encoder = build_encoder("efficientnet_lite0", image_size=32, seed=0)
    refuse_single_pixels(encoder, [16], RunSettings(accelerator="cpu"))
    with pytest.raises(BrainsslError, match="of efficientnet_lite0 sees a single pixel"):
        refuse_single_pixels(encoder, [16], ON_CPU)
