"""What the functions return: facts that JSON can hold, the words for them, and the page."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_HEIGHT = 720  # pixels of a page within a notebook


class Answer(dict[str, Any]):
    """Facts, as the command of the same name prints them with `--json`.

    A notebook shows the page where there is one, and the words else.

    Attributes:
        text: what the command prints without `--json`.
        page: HTML file that tells it all, or None.
    """

    def __init__(self, facts: Mapping[str, Any], text: str, page: Path | None = None) -> None:
        super().__init__(facts)
        self.text, self.page = text, page

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str | None:
        return inline(self.page) if self.page and self.page.is_file() else None


class Rows(list[dict[str, Any]]):
    """Rows of results, as the command of the same name prints them with `--json`.

    Attributes:
        text: the table that the command prints without `--json`.
    """

    def __init__(self, rows: list[dict[str, Any]], out: Path, more: Sequence[str] = ()) -> None:
        super().__init__(rows)
        self.text = "\n".join([*more, _table(rows, out)])

    def __repr__(self) -> str:
        return self.text


def inline(page: Path) -> str:
    """Return a page as HTML to be shown within another one, such as a notebook.

    The whole page is in the attribute `srcdoc` of a frame: hosted notebooks give their pages no
    way to files beside them.
    """
    # Or a link to a section would lead to that section of the page around it.
    text = page.read_text("utf-8").replace("<head>", '<head><base href="about:srcdoc">', 1)
    return (
        f'<iframe srcdoc="{escape(text)}" title="{escape(page.stem)}" '
        f'style="width:100%;height:{_HEIGHT}px;border:1px solid #ccc;background:white"></iframe>'
    )


def _table(rows: list[dict[str, Any]], out: Path) -> str:
    """Return rows of results as a few lines of text."""
    from brainssl.data.label_fractions import LabelShare

    lines = [f"{'split':6} {'n':>6}  accuracy  [95 % interval]   macro F1"]
    for row in rows:
        low, high = row["intervals"]["accuracy"] or (float("nan"),) * 2
        lines.append(
            f"{row['split']:6} {row['n']:>6}  {row['metrics']['accuracy']:8.3f}  "
            f"[{low:.3f}, {high:.3f}]  {row['metrics']['f1_macro']:8.3f}"
        )
    if rows and (labels := LabelShare.of_row(rows[0])) and labels.share < 1:
        lines.append(str(labels))
    trained = (out / "classifier.safetensors").is_file()
    held = "Classifier, predictions and history" if trained else "Predictions and rows of results"
    return "\n".join([*lines, f"{held} are in {out}"])
