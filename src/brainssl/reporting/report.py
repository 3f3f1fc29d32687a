"""The report of a study: one HTML file that holds everything it shows."""

from collections.abc import Sequence
from pathlib import Path

from brainssl.foundation.storage import write_text
from brainssl.reporting.assembly import sections
from brainssl.reporting.blocks import Section
from brainssl.reporting.page import Page, render_page
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.wording import moment


def render_report(study: Path, built: Sequence[Section] | None = None) -> Path:
    """Write `report.html` into a finished study's folder and return its path.

    The page is a function of the folder alone: nothing is trained, nothing fetched, and the same
    folder gives the same bytes. It needs `results.json`; predictions, histories, images and the
    audit's page are shown where they are there.

    Args:
        study: its folder.
        built: the sections of that folder, but for where the time went, if they are known.

    Raises:
        BrainsslError: `results.json` is missing, damaged, or not the results of a study.
    """
    page = render(read_study(study), built)
    path = study / "report.html"
    write_text(path, page)
    return path


def render(study: Study, built: Sequence[Section] | None = None) -> str:
    """Return the page as text; see `render_report`."""
    made = f"{study.facts.get('source') or study.folder.name}"
    told = "from results.json and the stored predictions of this study"
    page = Page("brainssl study report", made, _made(study), sections(study, built), told, True)
    return render_page(page, audit=_audit_page(study))


def _made(study: Study) -> str:
    facts = study.facts
    parts = (
        moment(str(facts.get("created") or "")),
        f"preset {facts['preset']}" if facts.get("preset") else "",
        f"brainssl {facts['brainssl']}" if facts.get("brainssl") else "",
    )
    return " · ".join(part for part in parts if part)


def _audit_page(study: Study) -> str | None:
    path = study.folder / "audit" / "audit.html"
    return "audit/audit.html" if path.is_file() else None
