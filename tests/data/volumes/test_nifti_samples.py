"""Values of any type become float32, a part at a time."""

import numpy as np
import pytest

from brainssl.data.volumes.nifti_samples import Samples, bits_of, type_of


def test_scaling_keeps_the_digits_of_float64() -> None:
    values = np.array([16_777_217, -16_777_219], np.int32)
    told = Samples(1.0 / 3, -5_592_405.0).of(values)
    exact = (values.astype(np.longdouble) / 3 - 5_592_405).astype(np.float32)
    np.testing.assert_allclose(told, exact, rtol=1e-6)


def test_what_is_no_number_is_seen_once_for_all() -> None:
    samples = Samples(None, 0.0)
    samples.of(np.array([1.0, 2.0]))
    assert samples.finite
    samples.of(np.array([1.0, np.nan]))
    samples.of(np.array([1.0, 2.0]))
    assert not samples.finite


@pytest.mark.parametrize(
    ("dtype", "bits", "name"),
    [
        ("<i2", 16, "int16"),
        (">f8", 64, "float64"),
        ("c8", 32, "complex64"),
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], 8, "RGB"),
    ],
)
def test_types_in_words(dtype: object, bits: int, name: str) -> None:
    own = np.dtype(dtype)  # type: ignore[call-overload]
    assert (bits_of(own), type_of(own)) == (bits, name)
