"""What the service says, field for field: its OpenAPI contract is made of these.

`API` counts up when a field changes its meaning or goes; a new field does not count.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

API = 1
Notice = Literal["For research: not a medical device, and nothing that it says is a diagnosis."]
NOTICE: Notice = "For research: not a medical device, and nothing that it says is a diagnosis."

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Part of an answer: nothing but what is listed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(Part):
    """An answer: each one carries the notice."""

    notice: Notice = NOTICE


Upload = Annotated[
    int, Field(ge=0, description="Place of the file in the request, from 0; of a series the first.")
]


class Unread(Part):
    """A file that could not be read."""

    file: str = Field(description="Its name, without control characters, cut short.")
    upload: Upload
    error: str = Field(description="Why, in one line.")


class Refusal(Said):
    """A request that is not answered, and why."""

    error: str = Field(description="Why, in one line.")
    files: list[Unread] = Field(
        default=[], description="Where none of the files could be read: each with its reason."
    )


class Health(Said):
    """Whether requests are taken."""

    ready: bool
    version: str = Field(description="Of brainssl.")
    api: int = Field(description="Of this contract.")
    at_work: int = Field(ge=0, description="Requests that are being answered.")
    room: int = Field(ge=0, description="Requests that are taken beside these.")


class Knows(Part):
    """What a classifier knows of its own limits."""

    calibration: bool = Field(description="Probabilities that were calibrated on validation.")
    conformal: bool = Field(description="Sets of classes with a promised coverage.")
    familiarity: bool = Field(description="How like its training images an image is.")
    neighbours: bool = Field(description="Cases that it can name as similar.")


class Bounds(Part):
    """What a request may hold."""

    max_bytes: int
    max_files: int
    max_pixels: int
    max_slices: int
    max_shown: int = Field(description="Pixels of all slices that /slices answers at once.")
    formats: list[str] = Field(description="That are read, told by content.")


class Figures(Part):
    """How often images that were not learnt were told right."""

    n: int = Field(description="Test images.")
    accuracy: Share
    interval: tuple[Share, Share] | None = Field(
        description="95 %, by resampling groups; null: there were too few."
    )


class Measured(Figures):
    """How often a classifier was right on images that it had not learnt."""

    folds: Figures | None = Field(
        description="Of all folds, each by its own model; null: there is one split."
    )


class Model(Said):
    """What answers here."""

    version: str
    api: int
    classes: list[str]
    image_size: int = Field(description="Side of the slices that the network sees, in pixels.")
    reader: int = Field(description="Version of the normalisation that files are read by.")
    bits: int = Field(description="Depth of the pixels that the network sees.")
    field_of_view: float | None = Field(
        description="Side in mm of the square about the head that it sees of slices of volumes; "
        "pictures are refused. Null: it sees whole slices."
    )
    test_views: int = Field(description="Over how many views of an image it predicts.")
    facts: dict[str, Any] = Field(description="How it came to be.")
    methods: list[str] = Field(description="Maps that /explain makes.")
    knows: Knows
    lacks: list[str] = Field(description="What it cannot say, a sentence each.")
    measured: Measured | None = Field(
        description="On the test images of its study; null: its file does not say."
    )
    caveats: list[str] = Field(description="What to keep in mind, a sentence each.")
    bounds: Bounds


class Prediction(Part):
    """What the classifier says of a slice."""

    file: str
    upload: Upload
    slice: int | None = Field(description="Number within a volume, from 1; null of a picture.")
    label: str = Field(description="Class with the highest probability.")
    probability: Share = Field(description="Of that class.")
    probabilities: dict[str, Share] = Field(
        description="Of every class, calibrated where /model says so."
    )
    softmax: dict[str, Share] = Field(description="Of the logits, not calibrated.")
    set: list[str] | None = Field(
        description="Classes that it may be of, as a caveat of /model promises; null: no promise."
    )
    familiar: bool | None = Field(description="Like the training images; null: not known.")
    why: str | None = Field(description="By what it is familiar or not, in a sentence.")
    oddness: float | None = Field(description="1 is the limit of what is familiar.")
    series: str | None = Field(description="Of a volume: its name within the answer.")
    patient: str | None = Field(description="Likewise of whom it is; null: not known.")
    logits: list[float] = Field(description="In the order of the classes, exactly.")
    flags: list[str] = Field(description="What the reader noticed.")


class Deciding(Part):
    """The slice that speaks most for the label of its series."""

    slice: int
    probability: Share


class SeriesPrediction(Part):
    """What the classifier says of a series."""

    series: str = Field(description="Its name within the answer.")
    file: str = Field(description="The first of its files.")
    uploads: list[int] = Field(description="Places of all its files in the request, from 0.")
    patient: str | None = Field(description="Whose it is, by name within the answer.")
    label: str
    probability: Share
    probabilities: dict[str, Share]
    rule: str = Field(description="How slices become one answer.")
    chosen: bool = Field(description="Whether that was chosen on validation.")
    slices: int = Field(description="How many were judged.")
    held: int = Field(description="How many it has.")
    without_brain: list[int] = Field(description="Numbers of those that show none: not judged.")
    decided_by: Deciding
    sequence: str | None = Field(description="What its header, sidecar or file name says.")
    note: str | None = Field(description="Where that is not the sequence of the class.")


class PatientPrediction(Part):
    """What the classifier says of a patient: the tumour family, of all series together."""

    patient: str = Field(description="Name within the answer.")
    series: list[str] = Field(description="Names of the series of this patient.")
    label: str
    probability: Share
    probabilities: dict[str, Share]
    rule: str = Field(description="How slices become one answer.")
    chosen: bool = Field(description="Whether that was chosen on validation.")
    fusion: str | None = Field(description="How several sequences become one answer; null: one.")
    slices: int = Field(description="How many were judged.")


class Predictions(Said):
    """Predictions in the order of the files, those of volumes last."""

    predictions: list[Prediction | Unread]
    series: list[SeriesPrediction] = Field(description="Of volumes.")
    patients: list[PatientPrediction] = Field(description="Of volumes of known patients.")
    lacks: list[str] = Field(description="As in /model.")
    measured: Measured | None = Field(description="As in /model.")


class Explanation(Part):
    """A slice, and what in it speaks for a class."""

    file: str
    upload: Upload
    slice: int | None
    label: str = Field(description="The class that is asked about; else the one predicted.")
    probability: Share = Field(description="Of that class, of the slice in a single view.")
    probabilities: dict[str, Share]
    method: str
    peak: float = Field(
        ge=0, description="Largest value of the raw map, the 1 of `map`; 0: nothing speaks for it."
    )
    size: int = Field(description="Side of the three pictures in pixels.")
    image: str = Field(description="The slice as the classifier sees it: PNG, base64.")
    overlay: str = Field(description="The map laid over it: PNG, base64.")
    map: str = Field(
        description="size × size float32, little-endian, by rows, from 0 to 1 in units of the "
        "peak: base64."
    )


class Explanations(Said):
    """Maps in the order of the files."""

    explanations: list[Explanation | Unread]


class Case(Part):
    """A known case."""

    id: str
    label: str
    similarity: float = Field(ge=-1, le=1, description="Cosine of the features.")


class Neighbours(Part):
    """Known cases that are nearest to a slice, the nearest first."""

    file: str
    upload: Upload
    slice: int | None
    cases: list[Case]


class Similar(Said):
    """Neighbours in the order of the files."""

    similar: list[Neighbours | Unread]


class Place(Part):
    """Where a slice lies in the square that the classifier sees, in pixels of that.

    It reaches beyond the square where the classifier sees a field of view: what lies there it does
    not see.
    """

    left: float
    top: float
    width: float
    height: float


class Slice(Part):
    """A slice at its own resolution, turned as the classifier sees it."""

    file: str
    slice: int | None
    width: int = Field(description="Pixels; the longer side is reduced to 1024 at most.")
    height: int
    pixels: str = Field(
        description="height × width uint16, little-endian, by rows: base64. A value is "
        "slope × pixel + intercept."
    )
    slope: float
    intercept: float
    black: float = Field(description="Value that is black for the classifier.")
    white: float = Field(description="Value that is white for it.")
    units: Literal["rescaled", "share"] = Field(
        description="Of values: those of the file after its rescaling; or, of a picture, the share "
        "of the way from black to white."
    )
    spacing: list[float] | None = Field(
        description="Millimetres between rows and between columns; null: not known."
    )
    place: Place = Field(description="In the square, and so in a map of it.")
    size: int = Field(description="Side of that square.")


class Slices(Said):
    """Slices in the order of the files."""

    slices: list[Slice | Unread]
    left_out: int = Field(ge=0, description="Slices for which there was no room: ask again.")
