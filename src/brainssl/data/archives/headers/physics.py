"""The weighting that the timing of a sequence gives: one line of evidence, blind to words.

Where the ranges come from (times in ms, angles in degrees):

- A spin echo's signal is PD (1 - exp(-TR/T1)) exp(-TE/T2): it is weighted by T1 where TR is near
  the T1 of brain and TE far below its T2, by T2 where TR is far above the T1 and TE near the T2, by
  proton density where TR is long and TE short. T1 of grey and white matter is 0.5 to 0.9 s at 1.5 T
  and 0.8 to 1.4 s at 3 T (Wansapura et al., J. Magn. Reson. Imaging 9:531, 1999; Stanisz et al.,
  Magn. Reson. Med. 54:507, 2005), so that the longest TR of a T1-weighted scan grows with the
  field; T2 is 70 to 110 ms.
- An inversion hides a tissue at TI = T1 (ln 2 - ln(1 + exp(-TR/T1))). With CSF's T1 of 2.5 to
  4.5 s this is 1.5 to 2.9 s (FLAIR: Hajnal et al., J. Comput. Assist. Tomogr. 16:841, 1992); with
  fat's of 0.25 to 0.4 s it is 0.1 to 0.28 s (STIR: Bydder and Young, J. Comput. Assist. Tomogr.
  9:659, 1985). Between them it strengthens T1.
- A prepared gradient echo (MPRAGE: Mugler and Brookeman, Magn. Reson. Med. 15:152, 1990) has a
  short TE, an angle of 4 to 15 and a TI of 0.4 to 1.4 s; its TR is that of one inversion or that of
  one echo, by vendor.
- A spoiled gradient echo is weighted by T1 where its angle exceeds that of Ernst,
  arccos(exp(-TR/T1)), and TE is short; at long TE it is weighted by T2*. Susceptibility-weighted
  scans are 3-D with TE about 40 at 1.5 T and 20 at 3 T (Haacke et al., Am. J. Neuroradiol. 30:19,
  2009).
"""

import math
from dataclasses import dataclass

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.facts import Header, Times, numbers, words

_GREY_T1 = {1.5: 850.0, 3.0: 1300.0}  # ms


@dataclass(frozen=True)
class Family:
    """How the echo is made.

    Attributes:
        spin: it is refocused by a pulse; None where nothing is said.
        planar: many lines are read after one pulse.
        inverted: an inversion comes before.
        volume: it is encoded in three directions; None where nothing is said.
        balanced: gradients are balanced, so that T2 and T1 weigh at once.
    """

    spin: bool | None
    planar: bool
    inverted: bool
    volume: bool | None
    balanced: bool

    @classmethod
    def of(cls, header: Header, times: Times) -> "Family":
        """Read a header's codes; those of enhanced objects too."""
        codes = {one.upper() for one in words(header.get("ScanningSequence"))}
        echo = {one.upper() for one in words(header.get("EchoPulseSequence"))}
        variant = {one.upper() for one in words(header.get("SequenceVariant"))}
        kind = {one.upper() for one in words(header.get("MRAcquisitionType"))}

        def yes(keyword: str) -> bool:
            return "YES" in {one.upper() for one in words(header.get(keyword))}

        spin = None
        if codes & {"SE", "GR"}:
            spin = "GR" not in codes
        elif echo & {"SPIN", "GRADIENT"}:
            spin = "GRADIENT" not in echo
        steady = words(header.get("SteadyStatePulseSequence"))
        fast = times.tr is not None and times.tr < 12 and (times.flip or 0) >= 35
        return cls(
            spin=spin,
            planar="EP" in codes or yes("EchoPlanarPulseSequence"),
            inverted="IR" in codes or yes("InversionRecovery") or bool(times.ti),
            volume=("3D" in kind) if kind & {"2D", "3D"} else None,
            balanced=(spin is False and "SS" in variant and "SP" not in variant and fast)
            or any(one.upper() in {"FREE_PRECESSION", "BALANCED"} for one in steady),
        )


def weighted(header: Header) -> Told:
    """Return what timing says: T1 (contrast aside), T2, FLAIR, PD, DWI, SWI, or unknown.

    Unknown with a confidence above 0 is something else, and the evidence says what.
    """
    times = Times.of(header)
    family = Family.of(header, times)
    diffusion = _diffusion(header)
    if diffusion is not None:
        return diffusion
    if times.te is None and times.tr is None and times.ti is None:
        return Told()
    value, confidence, why = _judged(family, times)
    evidence = [f"timing: {times.told()}: {why}"]
    if times.seconds:
        evidence.append("timing: taken for seconds, as no such times exist in milliseconds")
        confidence *= 0.8
    return Told(value, confidence, tuple(evidence))


def _diffusion(header: Header) -> Told | None:
    values = [one for one in numbers(header.get("DiffusionBValue")) if 0 <= one <= 50_000]
    if values and max(values) > 0:
        return Told("DWI", 0.88, (f"b value: {max(values):.4g} s/mm2",))
    directions = {one.upper() for one in words(header.get("DiffusionDirectionality"))}
    if directions & {"DIRECTIONAL", "BMATRIX", "ISOTROPIC"}:
        return Told("DWI", 0.75, ("directions of diffusion are told",))
    if values:
        return Told(UNKNOWN, 0.5, ("b value: 0 s/mm2: not diffusion-weighted",))
    return None


_Judged = tuple[str, float, str]


def _judged(family: Family, times: Times) -> _Judged:
    if family.planar:
        return _planar(family, times)
    if family.balanced:
        return UNKNOWN, 0.6, "balanced steady state, weighted by T2 and T1 at once"
    if family.inverted and times.ti is not None:
        found = _inverted(family, times)
        if found is not None:
            return found
    if family.inverted and (times.te or 0) >= 60 and (times.tr or 0) >= 4000:
        return "FLAIR", 0.65, "an inversion whose time is not told, and a long echo"
    if family.spin is None:
        return _of_no_family(family, times)
    return _spin_echo(times) if family.spin else _gradient_echo(family, times)


def _planar(family: Family, times: Times) -> _Judged:
    if family.spin is False:
        return UNKNOWN, 0.6, "a gradient echo-planar scan: functional or perfusion"
    if times.te is not None and 45 <= times.te <= 140:
        return "DWI", 0.45, "a spin echo-planar scan: diffusion as a rule"
    return UNKNOWN, 0.0, "an echo-planar scan of no telling times"


def _inverted(family: Family, times: Times) -> _Judged | None:
    ti, te, tr = times.ti or 0.0, times.te, times.tr
    if te is None:
        return UNKNOWN, 0.0, "an inversion and no echo time"
    if te < 8 and family.spin is not True and 200 <= ti <= 1400:
        return "T1", 0.85, "a gradient echo after an inversion"
    if 80 <= ti <= 300:
        return UNKNOWN, 0.75, "an inversion that hides fat (STIR)"
    if 1400 < ti <= 3200 and te >= 60 and (tr is None or tr >= 3500):
        return "FLAIR", 0.9, "an inversion that hides CSF, and a long echo"
    if 300 < ti <= 1400 and te <= 40:
        return "T1", 0.8, "an inversion between those of fat and CSF, and a short echo"
    return None


def _spin_echo(times: Times) -> _Judged:
    tr, te = times.tr, times.te
    if te is None or tr is None:
        return UNKNOWN, 0.0, "of a spin echo both times are needed"
    longest = 900 if times.field is not None and times.field < 2 else 1200
    if te <= 40 and tr <= longest:
        return "T1", 0.82 if te <= 30 else 0.6, "a spin echo of short TR and TE"
    if te <= 40 and tr < 1600:
        return "T1", 0.45, "a spin echo of short TE whose TR is rather long for T1"
    if te >= 75 and tr >= 7000:
        return "T2", 0.45, "a spin echo of long TR and TE: T2, or a FLAIR whose TI is not told"
    if te >= 65 and tr >= 1600:
        return "T2", 0.82, "a spin echo of long TR and TE"
    if te >= 65 and tr >= 700:
        return "T2", 0.55, "a spin echo of long TE whose TR is rather short for T2"
    if te <= 45 and tr >= 1600:
        return "PD", 0.75, "a spin echo of long TR and short TE"
    if te < 65 and tr >= 1600:
        return "T2", 0.4, "a spin echo of long TR and a TE between PD and T2"
    return UNKNOWN, 0.0, "a spin echo of no usual times"


def _gradient_echo(family: Family, times: Times) -> _Judged:
    tr, te, flip = times.tr, times.te, times.flip
    if te is None:
        return UNKNOWN, 0.0, "of a gradient echo the TE is needed"
    if te >= 12:
        return _late(family, times)
    if te > 8 or tr is None:
        return UNKNOWN, 0.0, "a gradient echo of no usual times"
    if 1000 <= tr <= 4000 and (flip is None or 3 < flip <= 16):
        return "T1", 0.78, "a prepared gradient echo: short TE, small angle, TR of one inversion"
    if flip is None:
        return "T1", 0.5, "a gradient echo of short TE"
    if 15 < tr <= 45 and te >= 2 and family.volume is not False and flip >= 10:
        return "T1", 0.45, "a fast gradient echo: T1, or an angiography by inflow"
    if tr < 15 and family.volume is not False and 6 <= flip <= 20:
        return "T1", 0.7, "a fast gradient echo of short TE and TR"
    if flip > _ernst(tr, times.field):
        return "T1", 0.7, "a spoiled gradient echo, its angle above that of Ernst"
    return UNKNOWN, 0.0, "a gradient echo of a small angle"


def _late(family: Family, times: Times) -> _Judged:
    low, high = (28, 55) if times.field is not None and times.field < 2 else (12, 45)
    tr = times.tr
    if family.volume and tr is not None and tr < 90 and low <= (times.te or 0) <= high:
        return "SWI", 0.5, "a gradient echo in 3-D of long TE, weighted by susceptibility"
    return UNKNOWN, 0.5, "a gradient echo of long TE, weighted by T2*"


def _ernst(tr: float, field: float | None) -> float:
    """Return the angle of Ernst for grey matter, degrees: arccos(exp(-TR/T1))."""
    t1 = _GREY_T1[1.5] if field is not None and field < 2 else _GREY_T1[3.0]
    return math.degrees(math.acos(math.exp(-tr / t1)))


def _of_no_family(family: Family, times: Times) -> _Judged:
    """Judge by times alone; what spin and gradient echoes make of them has to agree."""
    tr, te = times.tr, times.te
    if te is not None and tr is not None and te < 8 and (tr < 50 or 1200 <= tr <= 4000):
        return "T1", 0.6, "times of a fast gradient echo"
    value, confidence, why = _spin_echo(times)
    if family.volume and tr is not None and tr < 90:
        return _gradient_echo(family, times)
    return value, 0.85 * confidence, why
