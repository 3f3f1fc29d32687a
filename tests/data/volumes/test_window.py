"""One window for a volume: percentiles as NumPy's, a volume of one slice as the picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainssl.data.read import read_slice
from brainssl.data.volumes.volume import Volume
from brainssl.data.volumes.window import window_of


def volume(samples: np.ndarray, padding: np.ndarray | None = None) -> Volume:
    return Volume(samples.astype(np.float32), None, padding, 16, (), ())


def made(kind: str) -> np.ndarray:
    generator = np.random.default_rng(3)
    samples = generator.gamma(2, 200, (5, 40, 30))
    samples[:, :, :12] = generator.integers(0, 5, (5, 40, 12))
    if kind == "whole numbers":
        return samples.round()
    return samples.round() - 700 if kind == "signed" else samples


@pytest.mark.parametrize("kind", ["whole numbers", "signed", "fractions"])
def test_ends_are_percentiles_of_the_whole_volume_and_of_its_foreground(kind: str) -> None:
    samples = made(kind).astype(np.float32)
    window = window_of(volume(samples))
    low, top = np.percentile(samples, (0.5, 99.5), method="inverted_cdf")
    foreground = samples[samples >= low + 0.05 * (top - low)]
    assert window.low == low
    assert window.high == np.percentile(foreground, 99.5, method="inverted_cdf")


def test_padding_counts_in_nothing_and_becomes_black() -> None:
    samples = made("whole numbers")
    padding = np.zeros(samples.shape, bool)
    padding[:, :7] = True
    padded = np.where(padding, 30_000, samples)
    window = window_of(volume(padded, padding))
    assert window == window_of(volume(samples[:, 7:]))
    assert window != window_of(volume(padded))
    levels = window.applied(padded.astype(np.float32), padding)
    assert (levels[padding] == 0).all()
    expected = np.clip((samples - window.low) / (window.high - window.low), 0, 1)
    assert levels[~padding] == pytest.approx(expected[~padding], abs=1e-6)


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 4000)])
def test_a_volume_of_one_slice_is_the_picture_bit_for_bit(
    tmp_path: Path, dtype: type, most: int
) -> None:
    generator = np.random.default_rng(1)
    samples = np.clip(generator.gamma(2, most / 9, (48, 36)), 0, most).astype(dtype)
    samples[:, :10] = generator.integers(0, 4, (48, 10))
    Image.fromarray(samples).save(tmp_path / "slice.png")
    picture = read_slice(tmp_path / "slice.png").pixels
    window = window_of(volume(samples[None]))
    assert (window.applied(samples.astype(np.float32)) == picture).all()
    assert len(np.unique(picture)) > 50


def test_slices_are_not_stretched_one_by_one() -> None:
    samples = np.full((2, 20, 20), 100.0)
    samples[:, ::2] = 0
    samples[1, 4:9, 4:9] = 1000
    levels = window_of(volume(samples)).applied(samples.astype(np.float32))
    assert levels[0].max() == pytest.approx(0.1)
    assert (levels[0][:, 12:] == levels[1][:, 12:]).all()


def test_a_constant_volume_is_black() -> None:
    window = window_of(volume(np.full((2, 3, 3), 7.0)))
    assert not window.applied(np.full((3, 3), 7, np.float32)).any()
    assert window.told == "constant volume, set to 0"
    nothing = np.ones((2, 3, 3), bool)
    assert window_of(volume(np.arange(18.0).reshape(2, 3, 3), nothing)) == window
