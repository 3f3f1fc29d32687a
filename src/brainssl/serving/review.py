"""Labels that are to be reviewed: the cards that a page shows, and the verdicts that it sends."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from jaxtyping import UInt
from PIL import Image
from starlette.responses import JSONResponse

from brainssl.data.verdicts import KINDS, Verdict, append_verdict, last_of, read_verdicts
from brainssl.foundation.depth import shallow
from brainssl.serving.answers import NOTICE
from brainssl.serving.faults import Fault, come_again
from brainssl.serving.limits import Limits
from brainssl.serving.routes import add_page, handle_faults

PAGE = Path(__file__).parent / "review_page"
_LONGEST = 4096  # bytes of a verdict
_PATH = "/image"


@dataclass(frozen=True, eq=False)
class Deck:
    """What is to be reviewed.

    Attributes:
        cards: what the page shows of each image, ready for JSON; each has `image_id` and `label`.
        classes: that a label may be.
        images: pixels of each image of `shown`.
        shown: row in `images` of each image that may be asked for, by its id.
        log: file of the verdicts.
        reviewer: who reviews, in words of their own.
    """

    cards: Sequence[Mapping[str, Any]]
    classes: tuple[str, ...]
    images: UInt[np.ndarray, "n size size"]
    shown: Mapping[str, int]
    log: Path
    reviewer: str


class ReviewService:
    """A deck that is reviewed by one page or several.

    Attributes:
        deck: what is reviewed.
        limits: what a request may cost.
        ending: no request is taken any more.
    """

    def __init__(self, deck: Deck, limits: Limits | None = None) -> None:
        self.deck, self.limits = deck, limits or Limits()
        self.ending = False
        self._given = {str(card["image_id"]): str(card["label"]) for card in deck.cards}
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready to answer within the block."""
        yield

    def end(self) -> None:
        """Do nothing: no process outlives this one."""

    def cards(self) -> dict[str, Any]:
        """Return all cards with the verdicts that count; of another label than now, none does."""
        decided = {
            name: {"verdict": one.verdict, "label": one.label}
            for name, one in last_of(read_verdicts(self.deck.log)).items()
            if self._given.get(name) == one.given
        }
        return {
            "notice": NOTICE,
            "classes": list(self.deck.classes),
            "cards": list(self.deck.cards),
            "verdicts": decided,
        }

    def picture(self, image_id: str) -> bytes:
        """Return an image as PNG.

        Raises:
            Fault: it is none of those that are shown.
        """
        row = self.deck.shown.get(image_id)
        if row is None:
            raise Fault(404, "there is no such image")
        held = io.BytesIO()
        Image.fromarray(shallow(np.asarray(self.deck.images[row]))).save(
            held, "PNG", compress_level=1
        )
        return held.getvalue()

    async def take(self, body: bytes) -> Verdict:
        """Keep a verdict; it is on the disk when this returns.

        Raises:
            Fault: it is none, or could not be written.
        """
        verdict = replace(self._read(body), time=datetime.now(UTC).isoformat(timespec="seconds"))
        async with self._writing:
            try:
                await asyncio.to_thread(append_verdict, self.deck.log, verdict)
            except OSError:
                raise Fault(507, "the verdict could not be written: is the disk full?") from None
        return verdict

    def _read(self, body: bytes) -> Verdict:
        try:
            asked = json.loads(body)
            name, kind, label = (asked[key] for key in ("image_id", "verdict", "label"))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Fault(422, "send image_id, verdict and label as JSON") from None
        if not isinstance(name, str) or name not in self._given:
            raise Fault(422, "`image_id` is none of the images under review")
        if kind not in KINDS:
            raise Fault(422, f"`verdict` is none of {', '.join(KINDS)}")
        given = self._given[name]
        if kind == "relabel" and (label not in self.deck.classes or label == given):
            raise Fault(422, "`label` is none of the other classes")
        return Verdict(
            name, given, kind, label if kind == "relabel" else "", self.deck.reviewer, ""
        )


def review_routes_of(service: ReviewService) -> FastAPI:
    """Return the application: the page, its cards and images, and where verdicts are sent."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    handle_faults(app)
    add_page(app, PAGE)

    @app.get("/cards")
    async def cards() -> Response:
        """Say what is to be reviewed, and what was decided."""
        return JSONResponse(await asyncio.to_thread(service.cards))

    @app.get(_PATH)
    async def image(id: str = "") -> Response:  # noqa: A002 - the name in the query
        """Show one slice."""
        return Response(service.picture(id), media_type="image/png")

    @app.post("/verdict")
    async def verdict(request: Request) -> Response:
        """Take a verdict."""
        kept = await service.take(await _body(request, service.limits.body_seconds))
        return JSONResponse({"notice": NOTICE, "verdict": kept.verdict, "label": kept.label})

    return app


async def _body(request: Request, seconds: float) -> bytes:
    """Return the body of a request, which must be JSON, small, and here in time."""
    # A form of a stranger's page is sent without asking us first; JSON is not.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Fault(415, "send a verdict as application/json")
    held = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                held += chunk
                if len(held) > _LONGEST:
                    raise Fault(413, f"larger than the limit of {_LONGEST:,} bytes")
    except TimeoutError:
        raise come_again(408, "the body comes too slowly") from None
    return bytes(held)
