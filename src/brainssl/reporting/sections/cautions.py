"""What to be careful about."""

from brainssl.reporting.blocks import (
    Block,
    Cautions,
)
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.study import Study


def content(study: Study) -> tuple[Block, ...]:
    """List what to be careful about."""
    items = tuple(cautions(study))
    return (Cautions(items),) if items else ()
