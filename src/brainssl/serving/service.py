"""From files to answers: who is let in, what is computed for it, and within what time."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from starlette.types import Receive, Scope

from brainssl import __version__
from brainssl.data.read import FORMATS
from brainssl.foundation.depth import shallow
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.serving.answers import (
    API,
    Bounds,
    Case,
    Deciding,
    Explanation,
    Explanations,
    Health,
    Knows,
    Model,
    Neighbours,
    Prediction,
    Predictions,
    SeriesPrediction,
    Similar,
    Unread,
)
from brainssl.serving.batches import Batches
from brainssl.serving.decoding import Decoded, Decoders, Room, TooManySlices, Undecodable, Wanted
from brainssl.serving.deriving import FIELDS, Asked, slice_asked
from brainssl.serving.engine import ALIASES, Engine
from brainssl.serving.faults import Fault, come_again
from brainssl.serving.limits import Limits
from brainssl.serving.uploads import Form, Held, Upload, read_form
from brainssl.serving.volumes import VOLUMES, Seen, is_dicom

if TYPE_CHECKING:
    from brainssl.inference.saliency import SaliencyMap

_OF_SLICE = (
    "label",
    "probability",
    "probabilities",
    "softmax",
    "set",
    "familiar",
    "why",
    "oddness",
)
_OF_SERIES = ("label", "probability", "probabilities", "rule", "chosen", "slices")

NEIGHBOURS = 5
"""How many known cases are named, unless a request says otherwise; at most `MOST_NEIGHBOURS`."""
MOST_NEIGHBOURS = 50


class Service:
    """One classifier that is asked by many.

    Attributes:
        engine: the classifier.
        limits: what a request may cost.
        ending: no request is taken any more.
    """

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        self.engine, self.limits = engine, limits or Limits()
        self.ending = False
        self._asked = 0
        self._held = Held(self.limits.held_bytes)
        own = engine.classifier
        wanted = Wanted(own.reader, own.image_size, self.limits, own.plane, own.bits)
        self.decoders = Decoders(wanted)
        self._batches = Batches(engine.seen)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready to answer within the block."""
        try:
            await asyncio.gather(
                asyncio.to_thread(self.decoders.start), self._batches.alone(self.engine.warm)
            )
            yield
        finally:
            self.decoders.end()
            self._batches.end()

    def end(self) -> None:
        """End the processes that decode, whatever they are at."""
        self.decoders.end()

    def health(self) -> Health:
        """Say whether requests are taken."""
        room = 0 if self.ending else self.limits.requests - self._asked
        return Health(
            ready=not self.ending, version=__version__, api=API, at_work=self._asked, room=room
        )

    def model(self) -> Model:
        """Say what answers here."""
        engine, limits = self.engine, self.limits
        return Model(
            version=__version__,
            api=API,
            classes=list(engine.classes),
            image_size=engine.classifier.image_size,
            reader=engine.classifier.reader,
            bits=engine.classifier.bits,
            test_views=engine.classifier.test_views,
            facts=engine.facts,
            methods=engine.methods,
            knows=Knows(**engine.knows),
            caveats=engine.caveats,
            bounds=Bounds(
                max_bytes=limits.max_bytes,
                max_files=limits.max_files,
                max_pixels=limits.max_pixels,
                max_slices=limits.max_slices,
                formats=[*FORMATS, *VOLUMES],
            ),
        )

    async def predict(self, scope: Scope, receive: Receive) -> Predictions:
        """Classify the files of a request."""
        async with self._asking(scope, receive, frozenset()) as form:
            found = await self._seen(form)
            images = _images(found)
            seen = await self._batches.logits(images)
            return await self._batches.alone(partial(self._predictions, found, images, seen))

    def _predictions(
        self, found: list[tuple[str, Seen | Unread]], images: np.ndarray, seen: np.ndarray
    ) -> Predictions:
        logits = np.ascontiguousarray(seen[:, : len(self.engine.classes)])
        answers = iter(zip(self.engine.answers(images, seen), logits, strict=True))
        told = [
            one if isinstance(one, Unread) else _predicted(name, one, *next(answers))
            for name, one in found
        ]
        return Predictions(predictions=told, series=self._series(found, logits))

    def _series(
        self, found: list[tuple[str, Seen | Unread]], logits: np.ndarray
    ) -> list[SeriesPrediction]:
        """Answer for each volume."""
        slices = [(name, one) for name, one in found if isinstance(one, Seen)]
        rows = [row for row, (_, one) in enumerate(slices) if one.stack]
        if not rows:
            return []
        stacks = [stack.name for row in rows if (stack := slices[row][1].stack)]
        firsts = dict(zip(reversed(stacks), reversed(rows), strict=True))
        told = []
        for said in self.engine.series(stacks, logits[rows]):
            name, first = slices[firsts[said["series"]]]
            deciding = slices[rows[int(said["decided_by"]["file"])]][1]
            assert first.stack is not None
            assert deciding.number is not None
            told.append(
                SeriesPrediction(
                    series=said["series"],
                    file=name,
                    **{one: said[one] for one in _OF_SERIES},
                    held=first.stack.held,
                    without_brain=list(first.stack.without),
                    decided_by=Deciding(
                        slice=deciding.number, probability=said["decided_by"]["probability"]
                    ),
                    sequence=first.stack.sequence,
                    note=self.engine.note(first.stack.sequence, said["label"]),
                )
            )
        return told

    async def explain(self, scope: Scope, receive: Receive) -> Explanations:
        """Map what in the files of a request speaks for a class."""
        async with self._asking(scope, receive, frozenset({"method", "label"})) as form:
            kind, label = self._kind(form), self._label(form)
            told: list[Explanation | Unread] = []
            for name, one in await self._seen(form):
                if isinstance(one, Unread):
                    told.append(one)
                else:
                    work = partial(self._explained, name, one, kind, label)
                    told.append(await self._batches.alone(work))
            return Explanations(explanations=told)

    async def dicom(self, scope: Scope, receive: Receive) -> bytes:
        """Write what in one slice of DICOM files speaks for a class as DICOM, in a zip."""
        try:
            require("scans", writing=True)
        except BrainsslError as error:
            raise Fault(501, f"this service cannot write DICOM: {error}") from None
        async with self._asking(scope, receive, FIELDS) as form:
            kind, label = self._kind(form), self._label(form)
            if not all(is_dicom(one.data) for one in form.files):
                raise Fault(415, "a map is written as DICOM of DICOM files alone")
            seen = slice_asked(await self._seen(form), form.fields)
            made = await self._batches.alone(partial(self._map, seen, kind, label))
            assert seen.number is not None
            saliency = np.ascontiguousarray(made.saliency, np.float32).tobytes()
            asked = Asked(seen.file, seen.number, made.label, kind, made.peak, saliency)
            try:
                return await self.decoders.derive([one.data for one in form.files], asked)
            except Undecodable as error:
                raise Fault(error.status, f"the file {error.told}") from None

    def _label(self, form: Form) -> str | None:
        label = form.fields.get("label")
        if label is not None and label not in self.engine.classes:
            raise Fault(422, "`label` is none of the classes that /model names")
        return label

    def _kind(self, form: Form) -> str:
        asked = form.fields.get("method", "gradcam")
        kind = ALIASES.get(asked, asked)
        if kind not in self.engine.methods:
            raise Fault(422, f"`method` is none of {', '.join(self.engine.methods)}")
        return kind

    def _map(self, seen: Seen, kind: str, label: str | None) -> "SaliencyMap":
        try:
            return self.engine.explain(seen.image, kind, label)
        except BrainsslError:
            raise Fault(422, f"this classifier has not what {kind} needs") from None

    def _explained(self, name: str, seen: Seen, kind: str, label: str | None) -> Explanation:
        made = self._map(seen, kind, label)
        return Explanation(
            file=name,
            slice=seen.number,
            label=made.label,
            probability=made.probability,
            probabilities=made.probabilities,
            method=kind,
            peak=made.peak,
            size=len(made.image),
            image=_png(made.image),
            overlay=_png(made.overlay()),
            map=_written(np.ascontiguousarray(made.saliency, "<f4").tobytes()),
        )

    async def similar(self, scope: Scope, receive: Receive) -> Similar:
        """Name known cases that are nearest to the slices of a request."""
        if not self.engine.knows["neighbours"]:
            raise Fault(501, "this classifier knows no cases that it could name as similar")
        async with self._asking(scope, receive, frozenset({"count"})) as form:
            count = _count(form)
            found = await self._seen(form)
            images = _images(found)
            nearest = iter(
                await self._batches.alone(lambda: self.engine.similar(images, count)) or ()
            )
            told: list[Neighbours | Unread] = []
            for name, one in found:
                if isinstance(one, Unread):
                    told.append(one)
                    continue
                cases = [
                    Case(id=known, label=label, similarity=cosine)
                    for known, label, cosine in next(nearest)
                ]
                told.append(Neighbours(file=name, slice=one.number, cases=cases))
            return Similar(similar=told)

    @asynccontextmanager
    async def _asking(
        self, scope: Scope, receive: Receive, fields: frozenset[str]
    ) -> AsyncIterator[Form]:
        """Let a request in, read it, and hold it to its time."""
        if self._asked >= self.limits.requests:
            raise come_again(429, "too many requests at once: ask again in a moment")
        self._asked += 1
        try:
            with self._held.lease() as lease:
                form = await read_form(scope, receive, lease, self.limits, fields)
                try:
                    async with asyncio.timeout(self.limits.answer_seconds):
                        yield form
                except TimeoutError:
                    raise come_again(503, "the answer took too long: send less", 10) from None
        finally:
            self._asked -= 1

    async def _seen(self, form: Form) -> list[tuple[str, Seen | Unread]]:
        """Return the slices of the files, in order, or why a file has none.

        Raises:
            Fault: nothing of them could be read, or they hold too many slices.
        """
        statuses: list[int] = []
        room = Room(self.limits.max_slices)

        async def decode(upload: Upload) -> list[tuple[str, Seen | Unread]]:
            try:
                slices = await self.decoders.decode(upload.data, upload.name, room)
            except TooManySlices:
                raise
            except Undecodable as error:
                statuses.append(error.status)
                return [(upload.name, Unread(file=upload.name, error=error.told))]
            return [(upload.name, one) for one in slices]

        async def decode_series(uploads: list[Upload]) -> list[tuple[str, Seen | Unread]]:
            if not uploads:
                return []
            try:
                read = await self.decoders.decode_series([one.data for one in uploads], room)
            except TooManySlices:
                raise
            except Undecodable as error:
                read = Decoded([], [(at, error.status, error.told) for at in range(len(uploads))])
            why = {at: (status, told) for at, status, told in read.refused}
            statuses.extend(status for status, _ in why.values())
            refused: list[tuple[str, Seen | Unread]] = [
                (uploads[at].name, Unread(file=uploads[at].name, error=told))
                for at, (_, told) in sorted(why.items())
            ]
            return [*((uploads[one.file].name, one) for one in read.slices), *refused]

        dicom = [one for one in form.files if is_dicom(one.data)]
        others = [decode(one) for one in form.files if not is_dicom(one.data)]
        found = _named_apart(await _together([*others, decode_series(dicom)]))
        if not any(isinstance(one, Seen) for _, one in found):
            unread = tuple(one for _, one in found if isinstance(one, Unread))
            status = statuses[0] if len(set(statuses)) == 1 else 422
            told = f"the file {unread[0].error}" if len(unread) == 1 else "no file can be read"
            raise Fault(status, told, files=unread)
        return found


async def _together(
    reading: Sequence[Coroutine[Any, Any, list[tuple[str, Seen | Unread]]]],
) -> list[list[tuple[str, Seen | Unread]]]:
    """Return what is read of the files of a request, unless that is too much."""
    asked = [asyncio.create_task(one) for one in reading]
    try:
        return await asyncio.gather(*asked)
    except TooManySlices as error:
        told = f"the files hold more slices than the limit of {error.most} a request"
        raise Fault(413, told) from None
    finally:
        for one in asked:  # those that nobody waits for any more
            one.cancel()


def _predicted(name: str, seen: Seen, answer: dict[str, Any], logits: np.ndarray) -> Prediction:
    return Prediction(
        file=name,
        slice=seen.number,
        **{one: answer[one] for one in _OF_SLICE},
        series=seen.stack.name if seen.stack else None,
        logits=logits.tolist(),
        flags=list(seen.flags),
    )


def _named_apart(
    read: Sequence[Sequence[tuple[str, Seen | Unread]]],
) -> list[tuple[str, Seen | Unread]]:
    """Join what was read together, and number the series of all."""
    names: dict[tuple[int, str], str] = {}
    found: list[tuple[str, Seen | Unread]] = []
    for place, together in enumerate(read):
        for file, one in together:
            told = one
            if isinstance(one, Seen) and one.stack:
                name = names.setdefault((place, one.stack.name), f"series {len(names) + 1}")
                told = replace(one, stack=replace(one.stack, name=name))
            found.append((file, told))
    return found


def _images(found: list[tuple[str, Seen | Unread]]) -> np.ndarray:
    return np.stack([one.image for _, one in found if isinstance(one, Seen)])


def _count(form: Form) -> int:
    asked = form.fields.get("count", str(NEIGHBOURS))
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= MOST_NEIGHBOURS):
        raise Fault(422, f"`count` is a whole number from 1 to {MOST_NEIGHBOURS}")
    return int(asked)


def _png(pixels: np.ndarray) -> str:
    held = io.BytesIO()
    Image.fromarray(shallow(pixels)).save(held, "PNG", compress_level=1)
    return _written(held.getvalue())


def _written(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
