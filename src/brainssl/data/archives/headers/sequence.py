"""The sequence of a series by its header or its name, with evidence, confidence and objections."""

import re
from dataclasses import replace

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.combining import combined
from brainssl.data.archives.headers.contrast import Contrast, by_agent, by_words
from brainssl.data.archives.headers.facts import Header, Times, words
from brainssl.data.archives.headers.physics import weighted
from brainssl.data.archives.headers.words import by_echo, named
from brainssl.data.sequence import sequence_of

# The first that tells something speaks; what others say of the series may only contradict it.
_DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "SequenceName",
    "PulseSequenceName",
    "PulseSequenceType",
    "PulseSequenceDetails",
)
_UNASKED = 0.85  # confidence that no agent was given where nobody says so
_ONE_ECHO = re.compile(r"(?i)(?:^|[_\W])echo-?(\d)(?:[_\W]|$)")

_IMAGES = {
    "ADC": "an ADC map",
    "EADC": "an ADC map",
    "FA": "a map of diffusion",
    "TENSOR": "a map of diffusion",
    "LOCALIZER": "a localiser",
    "MIP": "a projection",
    "MNIP": "a projection",
    "MIN IP": "a projection",
    "MINIP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "SUBTRACTION": "a subtraction",
    "SUBTRACT": "a subtraction",
    "PERFUSION": "perfusion",
    "ASL": "perfusion",
    "RCBV": "perfusion",
    "RCBF": "perfusion",
    "CBF": "perfusion",
    "CBV": "perfusion",
    "MTT": "perfusion",
    "TTP": "perfusion",
    "FMRI": "functional",
    "MOCO": "functional",
    "T1 MAP": "a quantitative map",
    "T2 MAP": "a quantitative map",
    "T2_STAR MAP": "a quantitative map",
    "PHASE MAP": "an image of phases",
    "P": "an image of phases",
    "PHASE": "an image of phases",
    "VELOCITY": "an image of phases",
    "SPECTROSCOPY": "spectroscopy",
    "CSA REPORT": "no image of a scan",
    "SCREEN SAVE": "no image of a scan",
}
_ENHANCED = {
    "T1": "T1",
    "T2": "T2",
    "PROTON_DENSITY": "PD",
    "FLUID_ATTENUATED": "FLAIR",
    "DIFFUSION": "DWI",
}
_ENHANCED_OTHERS = {
    "PERFUSION": "perfusion",
    "TOF": "angiography",
    "FLOW_ENCODED": "angiography",
    "STIR": "a short inversion time: fat is dark",
    "T2_STAR": "a gradient echo weighted by T2*",
    "TAGGING": "tagging",
}


def sequence_from(header: Header) -> Told:
    """Return the sequence that a header tells: T1, T1C+, T2, FLAIR, PD, DWI, SWI or unknown.

    Words and timing are judged apart and combined: `brainssl.data.archives.headers.words`,
    `physics` and `combining`. A T1 of which nobody says whether an agent was given counts as one
    without.

    Args:
        header: DICOM keywords with the values of pydicom or of a BIDS sidecar, times in ms; any
            may be missing, empty or of a wrong type.

    Returns:
        Unknown with a confidence above 0 is something else, and the evidence says what: a map, a
        localiser, perfusion, angiography, functional, spectroscopy, T2*, STIR.
    """
    image = _of_image(header)
    if image is not None:
        return image
    spoken = _spoken(header)
    told = combined(spoken, _enhanced(header), weighted(header))
    texts = [text for key in _DESCRIPTIONS for text in words(header.get(key))]
    return _with_contrast(told, by_words(texts), by_agent(header))


def sequence_from_name(name: str) -> Told:
    """Return the sequence that the name of a file or folder tells, as BIDS, BraTS and people write.

    The last part of a path that tells something speaks. Confidence is never above 0.9: a name is
    what somebody wrote. `PD` alone is Parkinson's disease more often than a proton density.

    Args:
        name: such as `sub-01_ce-gadolinium_T1w.nii.gz`, `BraTS-GLI-00005-100-t1c` or `T1 post`.
    """
    for part in reversed(re.split(r"[\\/]", name)):
        stem = re.sub(
            r"(?i)(?:\.(?:nii|gz|dcm|ima|png|jpe?g|tiff?|mha|nrrd|json|h5|mat))+$", "", part
        )
        told = _of_part(stem)
        if told.value != UNKNOWN or told.confidence > 0:
            return replace(told, confidence=min(told.confidence, 0.9))
    return Told()


def _of_part(stem: str) -> Told:
    echo = _ONE_ECHO.search(stem)
    ending = sequence_of(stem)
    if ending == "ADC":
        return Told(UNKNOWN, 0.9, ("name: ADC: an ADC map",))
    if ending is not None:
        told = Told(ending, 0.9, (f"name: {ending}",))
    elif re.search(r"(?i)(?:^|_)T2starw$", stem):
        return Told(UNKNOWN, 0.9, ("name: T2*: none of the sequences that are told",))
    elif re.search(r"(?i)(?:^|_)UNIT1$", stem):
        told = Told("T1", 0.9, ("name: UNIT1",))
    else:
        told = _without_people(by_echo(named(_free(stem)), None))
    if echo and told.value == UNKNOWN:
        return told
    if told.value != "T1":
        return told
    free = re.sub(r"(?i)(?:^|_)ce-[a-z0-9]+", " gd ", _free(stem))
    return _with_contrast(told, by_words([free]), Contrast())


def _free(stem: str) -> str:
    """Return a name without the entities of BIDS that say nothing of the sequence."""
    return re.sub(
        r"(?i)(?:^|_)(?:sub|ses|run|task|dir|rec|part|acq(?=-t[12]$))-[a-z0-9]+", "_", stem
    )


def _without_people(told: Told) -> Told:
    # "PD" among folders names patients, "lesion" a class: what only a header would mean.
    return Told() if told.value == "PD" and told.confidence < 0.8 else told


def _of_image(header: Header) -> Told | None:
    """Return what `ImageType` says that it is, where that settles it."""
    types = {one.upper().replace("_", " ") for one in words(header.get("ImageType"))}
    for key, what in _IMAGES.items():
        if key.replace("_", " ") in types:
            return Told(UNKNOWN, 0.95, (f"image type: {key}: {what}",))
    return None


def _spoken(header: Header) -> Told:
    """Return what descriptions say; they are no independent witnesses of one another."""
    te = Times.of(header).te
    held = [(key, text) for key in _DESCRIPTIONS for text in words(header.get(key))]
    told = [by_echo(named(text), te) for _, text in held]
    speakers = [one for one in told if one.confidence > 0]
    if not speakers:
        return next((one for one in told if one.evidence), Told())
    first = speakers[0]
    others = [one for one in speakers[1:] if one.value != first.value and one.value != UNKNOWN]
    if not others or first.value == UNKNOWN:
        return first
    weaker = [replace(one, confidence=0.5 * one.confidence) for one in others[:1]]
    found = combined(first, *weaker)
    return found if found.value == first.value else replace(first, confidence=0.5)


def _enhanced(header: Header) -> Told:
    for one in words(header.get("AcquisitionContrast")):
        key = one.upper()
        if key in _ENHANCED:
            return Told(_ENHANCED[key], 0.8, (f"acquisition contrast: {key}",))
        if key in _ENHANCED_OTHERS:
            what = f"acquisition contrast: {key}: {_ENHANCED_OTHERS[key]}"
            return Told(UNKNOWN, 0.8, (what,))
    return Told()


def _with_contrast(told: Told, said: Contrast, agent: Contrast) -> Told:
    """Return a sequence with what is known of a contrast agent; it changes the name of T1 only."""
    if told.value == UNKNOWN and told.confidence == 0 and said.given:
        told = Told("T1", 0.5, ("what is given an agent is T1-weighted as a rule", *told.evidence))
    heard = [one for one in (said, agent) if one.given is not None]
    if told.value != "T1":
        given = tuple(one.evidence for one in heard if one.given and told.value != UNKNOWN)
        return replace(told, evidence=told.evidence + given)
    if not heard:
        silent = "nobody says whether a contrast agent was given: taken for none"
        return replace(
            told, confidence=round(told.confidence * _UNASKED, 4), evidence=(*told.evidence, silent)
        )
    verdict = combined(
        *(Told("yes" if one.given else "no", one.confidence, (one.evidence,)) for one in heard)
    )
    return Told(
        "T1C+" if verdict.value == "yes" else "T1",
        round(told.confidence * verdict.confidence, 4),
        told.evidence + verdict.evidence,
        told.against + verdict.against,
    )
