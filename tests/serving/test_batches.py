"""Slices that wait go through the network together, and each gets what is its own."""

import asyncio
import threading

import numpy as np
import pytest

from brainssl.serving.batches import TOGETHER, Batches
from brainssl.serving.engine import Images, Logits


class Network:
    """Gives each slice its mean; the first batch waits until it is let go."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def logits(self, images: Images) -> Logits:
        self.sizes.append(len(images))
        self.go.wait(30)
        if images.max() == 255:
            raise ValueError("white")
        return images.mean(axis=(1, 2), dtype=np.float32)[:, None]


def slices(*shades: int) -> Images:
    return np.stack([np.full((4, 4), shade, np.uint8) for shade in shades])


def run(*sent: Images, cancel: int | None = None) -> tuple[list[object], list[int]]:
    """Send several at once, the first some time before; return what each got, and batches."""

    async def whole() -> tuple[list[object], list[int]]:
        network = Network()
        batches = Batches(network.logits)
        asked = []
        for images in sent:
            asked.append(asyncio.create_task(batches.logits(images)))
            await asyncio.sleep(0.01)
        if cancel is not None:
            asked[cancel].cancel()
        network.go.set()
        got = await asyncio.gather(*asked, return_exceptions=True)
        batches.end()
        return list(got), network.sizes

    return asyncio.run(whole())


def test_those_that_wait_go_together_and_get_their_own() -> None:
    got, sizes = run(slices(1), slices(2, 3), slices(4), slices(5, 6, 7))
    assert sizes == [1, 6]
    shades = [np.asarray(one).ravel().tolist() for one in got]
    assert shades == [[1], [2, 3], [4], [5, 6, 7]]


def test_no_batch_is_larger_than_what_predict_takes() -> None:
    many = slices(*(n % 200 for n in range(150)))
    got, sizes = run(slices(1), many, slices(*range(40)), slices(9))
    assert sizes == [1, TOGETHER, 40 + 1, TOGETHER, 22]
    assert np.asarray(got[1]).ravel().tolist() == [n % 200 for n in range(150)]
    assert np.asarray(got[2]).ravel().tolist() == list(range(40))


def test_who_does_not_wait_any_more_is_not_computed() -> None:
    got, sizes = run(slices(1), slices(2, 3), slices(4), cancel=1)
    assert sizes == [1, 1]
    assert isinstance(got[1], asyncio.CancelledError)


def test_of_who_left_no_later_parcel_is_computed() -> None:
    got, sizes = run(slices(1), slices(*[2] * 150), slices(4), cancel=1)
    assert sizes == [1, 1]
    assert np.asarray(got[2]).tolist() == [[4]]


def test_a_request_of_many_slices_does_not_hold_up_one_of_few() -> None:
    many = slices(*[1] * (5 * TOGETHER))
    _, sizes = run(slices(1), many, slices(9))
    assert sizes == [1, TOGETHER, 1, *[TOGETHER] * 4]


def test_what_fails_is_told_to_all_it_met_and_to_nobody_else() -> None:
    got, sizes = run(slices(1), slices(255), slices(4))
    assert sizes == [1, 2]
    assert [isinstance(one, ValueError) for one in got] == [False, True, True]


def test_after_a_failure_others_are_computed() -> None:
    async def whole() -> Logits:
        network = Network()
        network.go.set()
        batches = Batches(network.logits)
        with pytest.raises(ValueError, match="white"):
            await batches.logits(slices(255))
        got = await batches.logits(slices(3))
        batches.end()
        return got

    assert asyncio.run(whole()).tolist() == [[3.0]]
