"""A page of sections, in one HTML file that opens offline."""

from collections.abc import Sequence
from dataclasses import dataclass

from brainssl.foundation.content_policy import CONTENT_POLICY
from brainssl.reporting.blocks import Section

_TEMPLATE = "page.html.jinja"
_CANVAS = 'class="canvas"'


@dataclass(frozen=True)
class Page:
    """A page of sections.

    Attributes:
        kicker: What kind of page it is.
        title: What it is about.
        made: When and how it was made.
        sections: What it shows.
        origin: What it was made from.
        opening: Whether the first section is what must be seen first: the contents follow it.
    """

    kicker: str
    title: str
    made: str
    sections: Sequence[Section]
    origin: str
    opening: bool = False


def render_page(page: Page, *, audit: str | None = None) -> str:
    """Return a page as text, with Plotly in it only if a figure needs it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("brainssl.reporting.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    given = {"page": page, "audit": audit, "policy": CONTENT_POLICY}
    plain = template.render(**given, plotly="")
    if _CANVAS not in plain:
        return plain
    return template.render(**given, plotly=get_plotlyjs())
