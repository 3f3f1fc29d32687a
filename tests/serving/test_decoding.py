"""Decoders: the reader's pixels, and files that hang or kill one cost only themselves."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from oracles.bad_decoder import SAID, decode_badly
from oracles.pictures import hostile, picture, png

from brainssl.data.read import NAMED, NO_MEMORY, UnreadableImage, read_bytes
from brainssl.data.store import letterbox
from brainssl.serving import decoder
from brainssl.serving.decoder import Wanted
from brainssl.serving.decoding import Decoders
from brainssl.serving.limits import Limits
from brainssl.serving.messages import Undecodable
from brainssl.serving.refusals import status_of, told_of
from brainssl.serving.volumes import Seen

LIMITS = Limits(decode_seconds=2.0, max_pixels=10**6)
WANTED = Wanted(reader=2, size=32, limits=LIMITS)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(WANTED, 2)
    made.start()
    yield made
    made.end()


def decoded(decoders: Decoders, data: bytes, name: str = "a.png") -> list[Seen]:
    return asyncio.run(decoders.decode(data, name))


def test_pixels_are_those_of_the_reader(decoders: Decoders) -> None:
    for name, data in hostile():
        try:
            read = read_bytes(data, f"file{Path(name).suffix}", reader=2, max_pixels=10**6)
        except UnreadableImage:
            with pytest.raises(Undecodable) as caught:
                decoded(decoders, data, name)
            assert caught.value.status in (413, 415, 422)
            assert "\n" not in caught.value.told
            continue
        [seen] = decoded(decoders, data, name)
        np.testing.assert_array_equal(seen.image, letterbox(read.pixels, 32))
        assert seen.number is None
        assert set(read.flags) - set(seen.flags) <= {"suffix differs"}


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (b"", 422, "is empty"),
        (
            b"no picture",
            415,
            f"is not an image in {NAMED}, nor a volume in DICOM or NIfTI",
        ),
        (picture(0)[:300], 422, "is corrupt or truncated"),
        (png(2000, 600, 8, 0, b""), 413, "has 2000 × 600 pixels, more than the limit of 1,000,000"),
    ],
)
def test_why_a_file_is_not_read_quotes_nothing_of_it(
    decoders: Decoders, data: bytes, status: int, told: str
) -> None:
    with pytest.raises(Undecodable) as caught:
        decoded(decoders, data)
    assert (caught.value.status, caught.value.told) == (status, told)


def test_a_reason_that_nobody_foresaw_is_not_told() -> None:
    assert told_of("PatientName Mueller is odd") == "cannot be read"
    assert told_of("is corrupt or truncated (b'Mueller')") == "is corrupt or truncated"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("has 9 × 9 pixels, more than the limit of 8", 413),
        ("has more voxels than the limit of 8", 413),
        ("has more slices than the limit of 8", 413),
        ("is a volume of more voxels than the limit", 413),
        ("is larger than the limit of 8 bytes", 413),
        ("declares more pixels than can be decoded safely", 413),
        ("has colours of a kind that is not supported", 422),
        ("has a frame of another size than its header says", 422),
        ("is corrupt or truncated (more than the limit)", 422),
        ("is no DICOM file with an image of its own", 415),
    ],
)
def test_a_status_says_whether_a_file_is_too_large_or_of_a_bad_kind(
    reason: str, status: int
) -> None:
    assert status_of(reason) == status


def test_how_to_mend_a_file_is_told() -> None:
    told = "is compressed in a way that is not supported; save it uncompressed"
    assert told_of(told) == told


@pytest.mark.parametrize("data", [b"keys", b"eat"])
def test_a_decoder_that_broke_down_or_took_too_much_is_replaced(
    hurt: Decoders, data: bytes
) -> None:
    """What it could not give back would be missing for the next file."""
    decoded(hurt, b"fine")
    before = hurt.processes
    with pytest.raises(Undecodable):
        decoded(hurt, data)
    decoded(hurt, b"fine")
    assert hurt.processes != before


def test_a_decoder_that_took_too_much_for_one_of_several_series_is_replaced(hurt: Decoders) -> None:
    decoded(hurt, b"fine")
    before = hurt.processes
    found = asyncio.run(hurt.decode_series([b"fine", b"eat"]))
    assert (len(found.slices), found.refused) == (1, [(1, 413, NO_MEMORY)])
    decoded(hurt, b"fine")
    assert hurt.processes != before


def test_a_decoder_that_begins_as_all_end_does_not_outlive_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ignores SIGTERM, and Python would wait at its end for a child of its own, for ever."""
    made = Decoders(WANTED, 1)
    made.start()
    before = set(multiprocessing.active_children())
    begin = BaseProcess.start

    def late(process: BaseProcess) -> None:
        made.end()
        begin(process)

    monkeypatch.setattr(BaseProcess, "start", late)
    [one] = made._all
    one.replace()
    with pytest.raises(OSError, match="the service has ended"):
        one.start()
    with pytest.raises(Undecodable):
        one.decode(picture(0), ".png", 1, 1, None)
    for child in set(multiprocessing.active_children()) - before:
        child.join(10)
        assert not child.is_alive()


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decoders]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "decode_for_ever", decode_badly)
        patch.chdir(tmp_path_factory.mktemp("hurt"))
        made = Decoders(Wanted(2, 32, Limits(decode_seconds=0.5)), 1)
        made.start()
        yield made
        made.end()


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (b"hang", 422, "takes more than 0.5 s to decode"),
        (b"die", 422, "cannot be decoded: its decoder broke down"),
        (b"lie", 422, "cannot be decoded: its decoder broke down"),
        (b"write", 422, "cannot be decoded: its decoder broke down"),
        (b"eat", 413, "needs more memory than there is"),
        (b"halt", 422, "takes more than 0.5 s to decode"),
        (b"flood", 422, "cannot be decoded: its decoder broke down"),
        *[(begin, 422, "cannot be decoded: its decoder broke down") for begin in SAID],
    ],
)
def test_a_file_that_breaks_its_decoder_costs_only_itself(
    hurt: Decoders, data: bytes, status: int, told: str
) -> None:
    with pytest.raises(Undecodable) as caught:
        decoded(hurt, data)
    assert (caught.value.status, caught.value.told) == (status, told)
    [seen] = decoded(hurt, b"fine")
    assert (seen.image == 4).all()
    assert len(hurt.processes) == 1
    assert not Path("planted").exists() or Path("planted").stat().st_size == 0
