"""What lesions of each family look like: the ranges that a patient's lesion is drawn from.

The ranges of different families overlap on purpose: measured relaxation times of tumour types do
(Kjaer et al., Acta Radiol. 32:498, 1991), and so do sizes, sites and patterns of enhancement.
"""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One kind of lesion, as ranges (low, high).

    Attributes:
        kind: Name.
        share: Part of the family's patients who have this kind.
        radius: Mean radius, mm.
        elongation: Standard deviation of the logarithm of the three axes.
        irregularity: Amplitude of the boundary noise, relative to the radius.
        softness: Width of the boundary, mm; wide is infiltrating.
        rim: Thickness of the solid part around the core, mm; None for no core.
        oedema: Reach of oedema beyond the boundary, mm.
        uptake: Contrast agent in the solid part, mmol/l.
        patchiness: Share of the solid part that takes up only a quarter of it.
        bubbles: How many small cysts.
        mass: Part of the volume that displaces brain instead of replacing it.
        solid_t1: T1 of the solid part at 1.5 T, ms.
        solid_t2: T2 of the solid part at 1.5 T, ms.
        core_t1: T1 of necrosis, pus or fluid at 1.5 T, ms.
        core_t2: T2 of necrosis, pus or fluid at 1.5 T, ms.
    """

    kind: str
    share: float
    radius: Range
    elongation: float
    irregularity: Range
    softness: Range
    rim: Range | None = None
    oedema: Range
    uptake: Range
    patchiness: Range
    bubbles: Range = (0, 0)
    mass: Range
    solid_t1: Range
    solid_t2: Range
    core_t1: Range = (1900, 2600)
    core_t2: Range = (220, 330)


GROWTHS: dict[str, tuple[Growth, ...]] = {
    "Glioma": (
        Growth(
            kind="high-grade",
            share=0.55,
            radius=(16, 30),
            elongation=0.18,
            irregularity=(0.16, 0.30),
            softness=(1.5, 3),
            rim=(3, 8),
            oedema=(4, 24),
            uptake=(0.15, 0.60),
            patchiness=(0.1, 0.5),
            mass=(0.3, 0.9),
            solid_t1=(1000, 1400),
            solid_t2=(95, 140),
            core_t1=(1600, 2400),
            core_t2=(160, 300),
        ),
        Growth(
            kind="low-grade",
            share=0.25,
            radius=(15, 30),
            elongation=0.22,
            irregularity=(0.14, 0.28),
            softness=(4, 9),
            oedema=(0, 8),
            uptake=(0.00, 0.06),
            patchiness=(0.2, 0.6),
            mass=(0.2, 0.6),
            solid_t1=(1050, 1500),
            solid_t2=(110, 180),
        ),
        Growth(
            kind="compact",
            share=0.2,
            radius=(12, 22),
            elongation=0.15,
            irregularity=(0.08, 0.20),
            softness=(1, 3),
            rim=(6, 20),
            oedema=(3, 16),
            uptake=(0.15, 0.50),
            patchiness=(0.1, 0.4),
            mass=(0.4, 0.9),
            solid_t1=(950, 1300),
            solid_t2=(85, 130),
            core_t1=(1600, 2400),
            core_t2=(160, 300),
        ),
    ),
    "Meningioma": (
        Growth(
            kind="plain",
            share=0.8,
            radius=(12, 28),
            elongation=0.12,
            irregularity=(0.04, 0.12),
            softness=(0.8, 1.6),
            oedema=(0, 12),
            uptake=(0.30, 0.80),
            patchiness=(0.0, 0.2),
            mass=(0.6, 1.0),
            solid_t1=(820, 1150),
            solid_t2=(75, 115),
        ),
        Growth(
            kind="cystic",
            share=0.2,
            radius=(14, 28),
            elongation=0.16,
            irregularity=(0.08, 0.20),
            softness=(0.8, 2),
            rim=(6, 16),
            oedema=(4, 20),
            uptake=(0.25, 0.70),
            patchiness=(0.1, 0.4),
            bubbles=(0, 16),
            mass=(0.6, 1.0),
            solid_t1=(850, 1200),
            solid_t2=(80, 125),
        ),
    ),
    "Schwannoma": (
        Growth(
            kind="solid",
            share=0.6,
            radius=(11, 20),
            elongation=0.12,
            irregularity=(0.05, 0.14),
            softness=(0.8, 1.6),
            oedema=(0, 3),
            uptake=(0.25, 0.75),
            patchiness=(0.0, 0.3),
            bubbles=(0, 8),
            mass=(0.6, 1.0),
            solid_t1=(950, 1300),
            solid_t2=(90, 145),
        ),
        Growth(
            kind="cystic",
            share=0.4,
            radius=(13, 23),
            elongation=0.16,
            irregularity=(0.07, 0.18),
            softness=(0.8, 1.8),
            rim=(3, 9),
            oedema=(0, 6),
            uptake=(0.25, 0.70),
            patchiness=(0.1, 0.4),
            bubbles=(8, 34),
            mass=(0.6, 1.0),
            solid_t1=(950, 1350),
            solid_t2=(95, 150),
        ),
    ),
    "Neurocytoma": (
        Growth(
            kind="bubbly",
            share=1.0,
            radius=(14, 25),
            elongation=0.18,
            irregularity=(0.12, 0.26),
            softness=(0.8, 2),
            oedema=(0, 4),
            uptake=(0.10, 0.45),
            patchiness=(0.1, 0.5),
            bubbles=(16, 100),
            mass=(0.5, 1.0),
            solid_t1=(900, 1200),
            solid_t2=(85, 120),
        ),
    ),
    "Other lesion": (
        Growth(
            kind="abscess",
            share=0.5,
            radius=(11, 21),
            elongation=0.12,
            irregularity=(0.05, 0.14),
            softness=(0.8, 1.6),
            rim=(1.8, 3.2),
            oedema=(8, 22),
            uptake=(0.25, 0.65),
            patchiness=(0.0, 0.1),
            mass=(0.5, 1.0),
            solid_t1=(780, 1000),
            solid_t2=(50, 75),
            core_t1=(1500, 2200),
            core_t2=(140, 240),
        ),
        Growth(
            kind="cyst",
            share=0.25,
            radius=(11, 24),
            elongation=0.14,
            irregularity=(0.04, 0.12),
            softness=(0.8, 1.6),
            rim=(0.8, 1.4),
            oedema=(0, 2),
            uptake=(0.00, 0.15),
            patchiness=(0.0, 0.1),
            mass=(0.6, 1.0),
            solid_t1=(900, 1200),
            solid_t2=(85, 110),
            core_t1=(2200, 2569),
            core_t2=(290, 329),
        ),
        Growth(
            kind="granuloma",
            share=0.25,
            radius=(11, 19),
            elongation=0.14,
            irregularity=(0.08, 0.18),
            softness=(1, 2.5),
            rim=(4, 12),
            oedema=(3, 18),
            uptake=(0.15, 0.50),
            patchiness=(0.0, 0.4),
            mass=(0.4, 0.9),
            solid_t1=(900, 1250),
            solid_t2=(75, 120),
        ),
    ),
}

TUMOUR_FAMILIES = tuple(GROWTHS)
"""Families that have a lesion."""
