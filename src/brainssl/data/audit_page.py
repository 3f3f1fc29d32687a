"""The audit as one self-contained page with pictures of the worst pairs."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from brainssl.data.audit_findings import Finding
from brainssl.data.scanned import Scan
from brainssl.foundation.content_policy import CONTENT_POLICY
from brainssl.foundation.storage import write_text

PICTURE = 208
"""Pixels a side of the pictures in the page."""

WRITTEN = 24
"""Images with text that are pictured."""

_BINS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, None))


def write_page(
    file: Path, report: dict[str, Any], findings: Sequence[Finding], scanned: Scan
) -> None:
    """Write a report as a page that opens offline.

    Args:
        file: the page to write.
        report: as `brainssl.data.audit.audit_scan` returns it.
        findings: what it amounts to.
        scanned: what it is about; the pictures of the worst pairs are read again.
    """
    environment = Environment(
        loader=PackageLoader("brainssl.data", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    sides = ("left", "right")
    written = report["text"]["paths"][:WRITTEN]
    paired = {pair[side] for pair in report["worst_pairs"] for side in sides}
    pictures = scanned.images(paired | set(written))

    @cache
    def picture(path: str) -> str | None:
        return _picture(pictures.get(path))

    middles = {one.name: one.images[len(one.images) // 2] for one in scanned.series}

    def shown(name: str) -> str:
        return _picture(middles[name].astype(np.float32) / np.float32(255)) or ""

    page = environment.get_template("audit.html.jinja").render(
        report=report,
        findings=findings,
        picture=picture,
        written=written,
        shown=shown,
        group_bins=_group_bins(report["groups"]["sizes"]),
        name=_title(scanned.root),
        policy=CONTENT_POLICY,
    )
    write_text(file, page)


def _title(root: Path) -> str:
    root = root.resolve()
    return root.parent.name if root.name == "images" else root.name


def _picture(pixels: Float32[np.ndarray, "h w"] | None) -> str | None:
    """Return a small picture as a data address, None if it cannot be read any more."""
    if pixels is None:
        return None
    image = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    image.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _group_bins(sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Return how many groups and images each range of group sizes holds, up to the last in use."""
    bins = []
    for low, high in _BINS:
        inside = {
            int(size): count
            for size, count in sizes.items()
            if int(size) >= low and (high is None or int(size) <= high)
        }
        name = str(low) if low == high else f"{low}–{high}" if high else f"over {low - 1}"
        images = sum(size * count for size, count in inside.items())
        bins.append({"name": name, "groups": sum(inside.values()), "images": images})
    while bins and not bins[-1]["groups"]:
        bins.pop()
    return bins
