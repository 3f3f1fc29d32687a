"""The figures of a report as files for papers: drawn by matplotlib from the same specifications."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.foundation.storage import write_atomically
from brainssl.reporting.figures.figure import Figure, Key
from brainssl.reporting.tables.table import Table
from brainssl.reporting.wording import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

FORMATS = ("svg", "png")

_DOTS = 200  # an inch, in the PNG
_PANEL = (3.2, 2.4)  # inches
_ALONE = (6.0, 4.5)
_SQUARE, _MARGIN = 0.34, 2.6  # of a matrix, and what its names need
_LONGEST = 34  # characters of a name
_DEEP = 0.55  # a shade on which ink would not be read
_DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}
_STEPS = {"hv": "steps-post", "vh": "steps-pre"}
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}


def draw(folder: Path, name: str, figures: Sequence[Figure], keys: Sequence[Key] = ()) -> None:
    """Write `name.svg` and `name.png`.

    Args:
        folder: where; it is made if it is not there.
        name: of the files.
        figures: one, or the panels of several small ones.
        keys: the legend that panels share; a figure alone has its own.
    """
    from matplotlib.figure import Figure as Drawing

    across = min(len(figures), 3)
    down = math.ceil(len(figures) / across)
    width, height = _ALONE if len(figures) == 1 else (_PANEL[0] * across, _PANEL[1] * down)
    drawing = Drawing(figsize=(width, height), layout="constrained")
    for place, figure in enumerate(figures, start=1):
        axes = drawing.add_subplot(down, across, place)
        _fill(axes, json.loads(figure.specification))
        if figure.square:
            axes.set_box_aspect(1)
        if figure.key:
            axes.set_title(figure.key.label, fontsize="small", loc="left")
    if keys:
        _shared_legend(drawing, keys)
    _save(folder, name, drawing)


def draw_matrix(folder: Path, table: Table) -> None:
    """Write a table's cells as squares, `name.svg` and `name.png`.

    A square is as dark as its cell's shade, from 0 (white) to 1, and holds the cell's text. The
    last column, of sums, is left out.

    Args:
        folder: where; it is made if it is not there.
        table: of `layout` `matrix`, as many lines as columns of classes.
    """
    from matplotlib.figure import Figure as Drawing

    names = [shorten(line.headers[0], _LONGEST) for line in table.lines]
    size = len(names)
    side = _SQUARE * size + _MARGIN
    drawing = Drawing(figsize=(side, side), layout="constrained")
    axes = drawing.add_subplot()
    shades = [[cell.shade or 0.0 for cell in line.cells[:size]] for line in table.lines]
    axes.imshow(shades, cmap="Blues", vmin=0.0, vmax=1.0)
    for row, line in enumerate(table.lines):
        for column, cell in enumerate(line.cells[:size]):
            ink = "white" if (cell.shade or 0.0) > _DEEP else "black"
            axes.text(
                column, row, cell.text, ha="center", va="center", fontsize="x-small", color=ink
            )
    for axis, turned in ((axes.xaxis, 90), (axes.yaxis, 0)):
        axis.set_ticks(range(size), labels=map(_plain, names), rotation=turned, fontsize="x-small")
        axis.set_tick_params(length=0)
    axes.set(xlabel="Said", ylabel="True class")
    axes.spines[:].set_visible(False)
    _save(folder, table.name, drawing)


def _save(folder: Path, name: str, drawing: "Drawing") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for form in FORMATS:
        write_atomically(
            folder / f"{name}.{form}",
            lambda beside, form=form: drawing.savefig(  # type: ignore[misc]
                beside, format=form, dpi=_DOTS, metadata={"Date": None} if form == "svg" else None
            ),
        )
        drawing.set_layout_engine("none")  # it lies as it shall: to find that takes long


def _fill(axes: "Axes", specification: Mapping[str, Any]) -> None:
    layout = specification["layout"]
    for trace in specification["data"]:
        _trace(axes, trace)
    for name in ("x", "y"):
        _axis(axes, name, layout.get(f"{name}axis") or {})
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")
    axes.grid(alpha=0.25, linewidth=0.5)
    handles, labels = axes.get_legend_handles_labels()
    if layout.get("showlegend") and handles:
        axes.legend(
            handles,
            labels,
            fontsize="xx-small",
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )


def _trace(axes: "Axes", trace: Mapping[str, Any]) -> None:
    mode = str(trace.get("mode") or "lines")
    line, marker = trace.get("line") or {}, trace.get("marker") or {}
    shown = trace.get("showlegend", True) and trace.get("name")
    style: dict[str, Any] = {
        "color": _colour(line.get("color") or marker.get("color") or "#1b1f23"),
        "linestyle": _DASHES.get(line.get("dash", "solid"), "-") if "lines" in mode else "none",
        "linewidth": line.get("width", 1.2),
        "drawstyle": _STEPS.get(line.get("shape", ""), "default"),
        "label": _plain(str(trace["name"])) if shown else "_",
    }
    if "markers" in mode:
        style["marker"] = _MARKERS.get(str(marker.get("symbol")), "o")
        style["markersize"] = 0.6 * float(marker.get("size", 6))
    x = [math.nan if value is None else value for value in trace["x"]]
    y = [math.nan if value is None else value for value in trace["y"]]
    axes.plot(x, y, **style)
    along, across = (
        [bars["arrayminus"], bars["array"]] if (bars := trace.get(f"error_{name}")) else None
        for name in ("x", "y")
    )
    if along or across:
        caps = 0.0 if along else 1.5
        axes.errorbar(
            x, y, across, along, fmt="none", color=style["color"], linewidth=0.9, capsize=caps
        )


def _axis(axes: "Axes", name: str, layout: Mapping[str, Any]) -> None:
    log = layout.get("type") == "log"
    if log:
        axes.set(**{f"{name}scale": "log"})
    if limits := layout.get("range"):
        axes.set(**{f"{name}lim": [10**end for end in limits] if log else limits})
    if ticks := layout.get("tickvals"):
        axis = axes.xaxis if name == "x" else axes.yaxis
        names = layout.get("ticktext")
        axis.set_ticks(ticks, labels=[_plain(name) for name in names] if names else None)
        axis.set_ticks([], minor=True)
    if title := (layout.get("title") or {}).get("text"):
        axes.set(**{f"{name}label": _plain(title)})


def _shared_legend(drawing: "Drawing", keys: Sequence[Key]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=_colour(key.colour),
            linestyle=_DASHES.get(key.dash, "-"),
            marker=_MARKERS.get(key.symbol, ""),
            markersize=4,
            label=key.label,
        )
        for key in keys
    ]
    drawing.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize="small", frameon=False
    )


def _colour(colour: str) -> Any:
    """Return a colour of the page as matplotlib takes it."""
    if not colour.startswith("rgba("):
        return colour
    red, green, blue, alpha = (float(part) for part in colour[5:-1].split(","))
    return (red / 255, green / 255, blue / 255, alpha)


def _plain(text: str) -> str:
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text.replace("$", r"\$")
