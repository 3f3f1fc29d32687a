"""From files to answers: who is let in, what is computed for it, and within what time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
from starlette.types import Receive, Scope

from brainssl import __version__
from brainssl.data.read import FORMATS
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.serving.answers import (
    API,
    Bounds,
    Explanation,
    Explanations,
    Health,
    Knows,
    Model,
    Predictions,
    Similar,
    Slices,
    Unread,
)
from brainssl.serving.batches import Batches
from brainssl.serving.decoder import Wanted
from brainssl.serving.decoding import Decoders
from brainssl.serving.deriving import FIELDS, MapAsked, slice_asked
from brainssl.serving.engine import ALIASES, Engine
from brainssl.serving.faults import Fault, come_again
from brainssl.serving.limits import Limits
from brainssl.serving.messages import Undecodable
from brainssl.serving.own_slices import Look
from brainssl.serving.reading import Found, read_files
from brainssl.serving.telling import (
    explanation,
    images_of,
    mapped,
    measured,
    neighbours,
    predictions,
)
from brainssl.serving.told_slices import numbers_asked, those_of, told_slices
from brainssl.serving.uploads import Form, Held, read_form
from brainssl.serving.volumes import VOLUMES, is_dicom

EVERY = "all"
"""In place of a map's name: each one that the classifier allows."""

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
        wanted = Wanted(
            own.reader, own.image_size, self.limits, own.plane, own.bits, own.field_of_view
        )
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
            field_of_view=engine.classifier.field_of_view,
            test_views=engine.classifier.test_views,
            facts=engine.facts,
            methods=engine.methods,
            knows=Knows(**engine.knows),
            lacks=engine.lacks,
            measured=measured(engine),
            caveats=engine.caveats,
            bounds=Bounds(
                max_bytes=limits.max_bytes,
                max_files=limits.max_files,
                max_pixels=limits.max_pixels,
                max_slices=limits.max_slices,
                max_shown=limits.max_shown,
                formats=[*FORMATS, *VOLUMES],
            ),
        )

    async def predict(self, scope: Scope, receive: Receive) -> Predictions:
        """Classify the files of a request."""
        async with self._asking(scope, receive, frozenset()) as form:
            found = await self._read(form)
            images = images_of(found)
            seen = await self._batches.logits(images)
            return await self._batches.alone(partial(predictions, self.engine, found, images, seen))

    async def explain(self, scope: Scope, receive: Receive) -> Explanations:
        """Map what in the files of a request speaks for a class."""
        async with self._asking(scope, receive, frozenset({"method", "label", "slices"})) as form:
            kinds, label = self._kinds(form), self._label(form)
            told: list[Explanation | Unread] = []
            for name, one in await self._read(form):
                if isinstance(one, Unread):
                    told.append(one)
                    continue
                for kind in kinds:
                    work = partial(explanation, self.engine, name, one, kind, label)
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
            seen = slice_asked(await self._read(form), form.fields)
            made = await self._batches.alone(partial(mapped, self.engine, seen, kind, label))
            assert seen.number is not None
            saliency = np.ascontiguousarray(made.saliency, np.float32).tobytes()
            asked = MapAsked(seen.file, seen.number, made.label, kind, made.peak, saliency)
            try:
                return await self.decoders.derive([one.data for one in form.files], asked)
            except Undecodable as error:
                raise Fault(error.status, f"the file {error.told}") from None

    def _label(self, form: Form) -> str | None:
        label = form.fields.get("label")
        if label is not None and label not in self.engine.classes:
            raise Fault(422, "`label` is none of the classes that /model names")
        return label

    def _kinds(self, form: Form) -> list[str]:
        if form.fields.get("method") == EVERY:
            return self.engine.methods
        return [self._kind(form)]

    def _kind(self, form: Form) -> str:
        asked = form.fields.get("method", "gradcam")
        kind = ALIASES.get(asked, asked)
        if kind not in self.engine.methods:
            raise Fault(422, f"`method` is none of {', '.join(self.engine.methods)}")
        return kind

    async def slices(self, scope: Scope, receive: Receive) -> Slices:
        """Return slices of the files of a request at their own resolution."""
        async with self._asking(scope, receive, frozenset({"slices"})) as form:
            numbers = numbers_asked(form.fields.get("slices"))
            look = Look(numbers[0], numbers[-1], self.limits.max_shown)
            found = await self._read(form, look)
            return told_slices(found, self.engine.classifier.image_size)

    async def similar(self, scope: Scope, receive: Receive) -> Similar:
        """Name known cases that are nearest to the slices of a request."""
        if not self.engine.knows["neighbours"]:
            raise Fault(501, "this classifier knows no cases that it could name as similar")
        async with self._asking(scope, receive, frozenset({"count", "slices"})) as form:
            count = _count(form)
            found = await self._read(form)
            images = images_of(found)
            nearest = await self._batches.alone(lambda: self.engine.similar(images, count)) or ()
            return Similar(similar=neighbours(found, nearest))

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

    async def _read(self, form: Form, look: Look | None = None) -> Found:
        """Return what `read_files` does, of volumes those slices that the form asks for."""
        numbers = numbers_asked(form.fields.get("slices"))
        limits = self.limits
        found = await read_files(form.files, self.decoders, limits.max_slices, look)
        return those_of(found, numbers)


def _count(form: Form) -> int:
    asked = form.fields.get("count", str(NEIGHBOURS))
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= MOST_NEIGHBOURS):
        raise Fault(422, f"`count` is a whole number from 1 to {MOST_NEIGHBOURS}")
    return int(asked)
