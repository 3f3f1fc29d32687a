"""How the report writes numbers, metrics and long names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from brainssl.data.shots import Shots, label_fraction

MISSING = "–"


@dataclass(frozen=True)
class Metric:
    """A measure of `results.json`, as a reader meets it.

    Attributes:
        name: Its key in `results.json`.
        title: Its name in words.
        percent: Whether it is written in per cent; otherwise with three decimals.
        meaning: One sentence on what it measures and which way is better.
        has_interval: Whether a percentile interval of it means anything.
    """

    name: str
    title: str
    percent: bool
    meaning: str
    has_interval: bool = True

    @property
    def heading(self) -> str:
        """Title with its unit."""
        return f"{self.title}, %" if self.percent else self.title

    def number(self, value: float | None) -> str:
        """Return the value in this metric's unit."""
        return percent(value) if self.percent else decimal(value)

    def range(self, limits: tuple[float, float] | None) -> str:
        """Return an interval in this metric's unit."""
        if limits is None:
            return MISSING
        low, high = (self.number(value) for value in limits)
        return f"{low} to {high}" if low.startswith("−") else f"{low}–{high}"


METRICS = (
    Metric("accuracy", "Accuracy", True, "Share of images whose class was named rightly."),
    Metric("balanced_accuracy", "Balanced accuracy", True, "Mean over classes of the recall."),
    Metric("precision_macro", "Macro precision", True, "Mean over classes of the precision."),
    Metric("recall_macro", "Macro recall", True, "Mean over classes of the recall."),
    Metric("f1_macro", "Macro F1", True, "Mean over classes of the F1 score: rare ones count."),
    Metric("precision_weighted", "Weighted precision", True, "Precision, weighted by class size."),
    Metric("recall_weighted", "Weighted recall", True, "Recall, weighted by class size."),
    Metric("f1_weighted", "Weighted F1", True, "F1 score, weighted by class size."),
    Metric("auroc_macro", "AUROC", False, "Area under the ROC curve, one class against the rest."),
    Metric("average_precision_macro", "Average precision", False, "The same for precision–recall."),
    Metric("mcc", "MCC", False, "Matthews correlation coefficient: 1 perfect, 0 chance."),
    Metric("nll", "NLL", False, "Negative log-likelihood, in nats: lower is better."),
    Metric("brier", "Brier", False, "Squared error of the probabilities: lower is better."),
    Metric(
        "ece",
        "ECE",
        False,
        "Expected calibration error: lower is better. Biased upwards on few images, and more so in "
        "a resample, where repeated images look like miscalibration; so no interval is given.",
        has_interval=False,
    ),
)
METRIC = {metric.name: metric for metric in METRICS}

HEADLINE = METRIC["accuracy"]
MAIN_METRICS = tuple(
    METRIC[name] for name in ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro")
)
CLASS_METRICS = (
    Metric("precision", "Precision", True, ""),
    Metric("recall", "Recall", True, ""),
    Metric("f1", "F1", True, ""),
    Metric("auroc", "AUROC", False, ""),
    Metric("average_precision", "Average precision", False, ""),
)

PROTOCOLS = {
    "grouped": (
        "All images of a patient, or of a cluster of near-duplicates where patients are not known, "
        "stand on the same side of the split."
    ),
    "image": (
        "The images are divided one by one, so that slices of one patient and copies of one image "
        "may stand in training and test: scores are inflated by what the model has already seen."
    ),
    "paper": (
        "Every class is first filled up to the size of the largest by augmentation and then "
        "divided image by image, so that variants of one image stand in training and test: scores "
        "are inflated by what the model has already seen."
    ),
}


def percent(value: float | None) -> str:
    """Return a fraction in per cent with one decimal, without the sign for it."""
    return fixed(value, 1, 100.0)


def signed(value: float) -> str:
    """Return a difference of fractions in points with its sign."""
    return f"{'+' * (value > 0)}{percent(value)}"


def decimal(value: float | None) -> str:
    """Return a number with three decimals."""
    return fixed(value, 3)


def fixed(value: float | None, digits: int, scale: float = 1.0) -> str:
    """Return a number times `scale` with so many decimals."""
    if value is None:
        return MISSING
    text = f"{scale * value:.{digits}f}"
    # "-0.0" says something that the number does not.
    return text.replace("-", "−" if float(text) else "")


def count(value: object) -> str:
    """Return a whole number with thin spaces between thousands."""
    if not isinstance(value, (int, float)) or value != value:
        return MISSING
    return f"{int(value):,}".replace(",", "\u202f")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 image", "2 images"; `plural` is for nouns that take more than an s."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def fraction_title(fraction: float | str) -> str:
    """Return a label fraction as "10 %" or "8 a class"."""
    read = label_fraction(fraction)
    return f"{read.each} a class" if isinstance(read, Shots) else f"{100 * read:g}\u00a0%"


def labels_title(*fractions: float | str, of: str = "labels") -> str:
    """Return label fractions as "8 labels a class and 10 % of labels"."""
    read = sorted(map(label_fraction, fractions))
    shots = [str(one.each) for one in read if isinstance(one, Shots)]
    shares = [fraction_title(one) for one in read if not isinstance(one, Shots)]
    said = [f"{join(shots)} label{'' if shots == ['1'] else 's'} a class"] if shots else []
    said += [f"{join(shares)} of {of}"] if shares else []
    return join(said)


def duration(seconds: float | None) -> str:
    """Return a time that took so many seconds, in the unit that suits it."""
    if seconds is None:
        return MISSING
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def moment(time: str) -> str:
    """Return an ISO time to the minute, in UTC; other text as it is."""
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return time
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if parsed.tzinfo else time


def join(words: Sequence[str], last: str = "and") -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def some(names: Sequence[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def shorten(name: str, limit: int) -> str:
    """Return a name in at most `limit` characters; its end, often a sequence, is kept."""
    if len(name) <= limit:
        return name
    tail = name.rsplit(" ", 1)[-1]
    if not 0 < len(tail) <= limit // 3:
        return name[: limit - 1].rstrip() + "…"
    return f"{name[: limit - len(tail) - 2].rstrip(' (,')}… {tail}"
