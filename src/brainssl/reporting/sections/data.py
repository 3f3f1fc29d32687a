"""Class counts, and a few slices of each class."""

from brainssl.reporting.blocks import (
    Block,
    Fold,
    Prose,
    Strips,
)
from brainssl.reporting.figures.pictures import sample_strips, study_images
from brainssl.reporting.findings.data_evidence import depth, field_of_view, remainder
from brainssl.reporting.study import Study
from brainssl.reporting.tables import results as tables
from brainssl.reporting.tables.balance import balance_table


def content(study: Study) -> tuple[Block, ...]:
    """Show class counts and a few slices of each class."""
    balanced = balance_table(study)
    blocks: list[Block] = [balanced] if balanced else []
    counts = tuple(
        tables.counts_table(study, protocol)
        for protocol in study.protocols
        if study.split(protocol).get("counts")
    )
    if counts:
        blocks.append(Fold("Images of each class", counts))
    if told := tuple(filter(None, (remainder(study), field_of_view(study), depth(study)))):
        blocks.append(Prose(told))
    if found := study_images(study.folder):
        images, manifest = found
        classes = study.classes or sorted(manifest["label"].dropna().unique())
        strips = tuple(sample_strips(images, manifest, classes))
        if strips:
            caption = "Slices of each class as the store holds them, from different groups."
            blocks.append(Fold("Slices of each class", (Strips(caption, strips),)))
    return tuple(blocks)
