"""Draws a diagram of each method, `simclr.svg` and so on: views, networks, loss.

python docs/images/methods.py
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 824, 214
BOX, TALL, ROWS = 96, 48, (34, 132)
LEFT = {"view": 92, "encoder": 204, "projector": 324, "last": 444, "loss": 632}
LOSS = 180

STYLE = """
svg { font: 15px system-ui, sans-serif; --paper: #fbfcfc; --ink: #1b1f23; --soft: #59636e;
      --accent: #0b7a75; --fill: #e3f1f0; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16191c; --ink: #e6e8ea; --soft: #a5aeb7; --accent: #45bdb6; --fill: #1d3534; }
}
.paper { fill: var(--paper); }
.box { fill: var(--fill); stroke: var(--accent); stroke-width: 1.5; }
.plain { fill: none; stroke: var(--soft); }
.teacher { fill: none; stroke-dasharray: 6 4; }
.line { fill: none; stroke: var(--ink); stroke-width: 1.4; }
.ema { stroke-dasharray: 3 3; }
.tip { fill: var(--ink); }
text { fill: var(--ink); text-anchor: middle; }
.note { fill: var(--soft); font-size: 11.5px; }
"""


@dataclass(frozen=True)
class Branch:
    """One row of a diagram, from a view to the loss.

    Attributes:
        view: What goes in.
        last: What stands behind the projector, with a note, or nothing.
        teacher: Whether its networks are a slow copy of the other branch's.
        stopped: Whether no gradient flows through its end.
    """

    view: str
    last: tuple[str, str] | None = None
    teacher: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Diagram:
    """A method: two branches and what its loss asks of them, in a few short lines."""

    title: str
    branches: tuple[Branch, Branch]
    loss: tuple[str, ...]


PREDICTOR = ("predictor q", "")
METHODS = {
    "simclr": Diagram(
        "SimCLR",
        (Branch("view 1"), Branch("view 2")),
        ("NT-Xent", "views of one image attract,", "all others of the batch repel"),
    ),
    "byol": Diagram(
        "BYOL",
        (Branch("view 1", PREDICTOR), Branch("view 2", teacher=True, stopped=True)),
        ("‖p̄ − z̄′‖²", "one view predicts the other,", "then they change places"),
    ),
    "dino": Diagram(
        "DINO",
        (
            Branch("any crop", ("softmax", "of z / τ")),
            Branch("global crop", ("softmax", "of (z′ − c) / τ′"), teacher=True, stopped=True),
        ),
        ("cross-entropy", "the student gives the", "teacher’s answer"),
    ),
    "mocov3": Diagram(
        "MoCo v3",
        (
            Branch("view 1", ("predictor q", "not in paper")),
            Branch("view 2", teacher=True, stopped=True),
        ),
        ("InfoNCE", "a query finds its key", "among those of the batch"),
    ),
    "barlowtwins": Diagram(
        "Barlow Twins",
        (Branch("view 1"), Branch("view 2")),
        ("correlation → identity", "each dimension agrees with", "itself, and with no other"),
    ),
    "nnclr": Diagram(
        "NNCLR",
        (
            Branch("view 1", ("nearest", "of the newest"), stopped=True),
            Branch("view 2", PREDICTOR),
        ),
        ("InfoNCE", "a view finds the neighbour", "of the other in the batch"),
    ),
    "supcon": Diagram(
        "SupCon",
        (Branch("view 1"), Branch("view 2")),
        ("L_out", "views of one class attract,", "all others of the batch repel"),
    ),
}


def draw(diagram: Diagram) -> str:
    """Return a diagram as SVG, with its own paper, so that any page can show it."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(diagram.title)}: {escape(' '.join(diagram.loss))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        *_image(),
    ]
    for top, branch in zip(ROWS, diagram.branches, strict=True):
        parts += _branch(branch, top)
    parts += _between(teacher=any(branch.teacher for branch in diagram.branches))
    parts += _loss(diagram.loss)
    return "\n".join([*parts, "</svg>", ""])


def _image() -> Iterator[str]:
    """Draw the image, and how two views of it are drawn."""
    middle = (ROWS[0] + ROWS[1] + TALL) / 2
    yield f'<rect class="line" x="12" y="{middle - 22:g}" width="44" height="44" rx="4"/>'
    yield _text("image", 34, middle + 5, "note")
    for top in ROWS:
        yield _arrow(56, middle, LEFT["view"], top + TALL / 2)


def _branch(branch: Branch, top: float) -> Iterator[str]:
    """Draw a row: view, encoder, projector, what stands behind it, and an arrow to the loss."""
    mark, kind = ("′", "box teacher") if branch.teacher else ("", "box")
    boxes = [
        ("view", branch.view, "", "box plain"),
        ("encoder", f"encoder f{mark}", "", kind),
        ("projector", f"projector g{mark}", "", kind),
    ]
    if branch.last:
        # Only a predictor is a network; the rest is arithmetic.
        network = branch.last[0] == PREDICTOR[0]
        boxes.append(("last", *branch.last, kind if network else "box plain"))
    middle = top + TALL / 2
    ends = [LEFT[place] for place, *_ in boxes[1:]] + [LEFT["loss"]]
    for (place, label, note, style), end in zip(boxes, ends, strict=True):
        x = LEFT[place]
        yield f'<rect class="{style}" x="{x}" y="{top}" width="{BOX}" height="{TALL}" rx="6"/>'
        yield _text(label, x + BOX / 2, middle + (0 if note else 5))
        if note:
            yield _text(note, x + BOX / 2, middle + 16, "note")
        yield _arrow(x + BOX, middle, end, middle)
    if branch.stopped:
        x = (LEFT["last"] + BOX + LEFT["loss"]) / 2
        strokes = " ".join(f"M{x + i},{middle + 9:g}l8,-18" for i in (-7, 0))
        yield f'<path class="line" d="{strokes}"/>'
        yield _text("no gradient", x, middle + 26, "note")


def _between(*, teacher: bool) -> Iterator[str]:
    """Say how the networks of the two rows belong together."""
    x, above, below = LEFT["encoder"] + BOX / 2, ROWS[0] + TALL, ROWS[1]
    for middle in (x, LEFT["projector"] + BOX / 2):
        if teacher:
            yield _arrow(middle, above, middle, below, "line ema")
        else:
            yield f'<path class="line" d="M{middle:g},{above}V{below}"/>'
    said = "follow slowly" if teacher else "same weights"
    yield _text(said, (x + LEFT["projector"] + BOX / 2) / 2, (above + below) / 2 + 4, "note")


def _loss(lines: tuple[str, ...]) -> Iterator[str]:
    x, top, bottom = LEFT["loss"], ROWS[0] - 8, ROWS[1] + TALL + 8
    yield (f'<rect class="box" x="{x}" y="{top}" width="{LOSS}" height="{bottom - top}" rx="6"/>')
    first = (top + bottom) / 2 - 9 * (len(lines) - 1)
    for place, line in enumerate(lines):
        yield _text(line, x + LOSS / 2, first + 19 * place, "note" if place else "")


def _arrow(x: float, y: float, to_x: float, to_y: float, style: str = "line") -> str:
    """Return a line with a tip: level, upright, or from the image to a view."""
    tip = f"M{to_x:g},{to_y:g}{'l-4,-8h8z' if x == to_x else 'l-8,-4v8z'}"
    bend = f"C{x + 18:g},{y:g} {to_x - 26:g},{to_y:g} {to_x - 7:g},{to_y:g}"
    path = f"L{to_x:g},{to_y - 7:g}" if x == to_x else bend
    return f'<path class="{style}" d="M{x:g},{y:g}{path}"/><path class="tip" d="{tip}"/>'


def _text(text: str, x: float, y: float, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:g}" y="{y:g}">{escape(text)}</text>'


def main() -> None:
    """Write every diagram beside this file."""
    for name, diagram in METHODS.items():
        (Path(__file__).parent / f"{name}.svg").write_text(draw(diagram), encoding="utf-8")


if __name__ == "__main__":
    main()
