"""What only people know about a study: `study.toml`, which they fill in."""

import difflib
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_text

FILE = "study.toml"

_HEAD = """\
# What only people know about this study. The checklist of report.html and model-card.md show it.
# Take the # away before a key and write between the quotes; text of several lines goes between
# triple quotes. A key that stays empty counts as missing. Then: brainssl report FOLDER
"""


class About(BaseModel):
    """What the authors say; a text that is empty has not been said. Unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,  # they are what the template asks
    )

    authors: str = ""
    """Who made the study and its classifier."""
    intended_use: str = ""
    """What the classifier is to help with, and where."""
    users: str = ""
    """Who is meant to use it, and what they must know."""
    out_of_scope: str = ""
    """What it must not be used for."""
    source: str = ""
    """Where the images come from, with an address or citation."""
    dates: str = ""
    """From when to when the images were acquired."""
    sites: str = ""
    """Hospitals or centres, how many, in which countries."""
    scanners: str = ""
    """Makers, models, field strengths, sequences."""
    eligibility: str = ""
    """Who and which slices were included, who was not."""
    population: str = ""
    """How many patients; their ages, sexes and diagnoses."""
    deidentification: str = ""
    """How what could name a patient was removed."""
    reference_standard: str = ""
    """How the true class was found, and why so."""
    annotators: str = ""
    """Who labelled, how many of them, with what training."""
    disagreement: str = ""
    """How often they differed, and how it was settled."""
    sample_size: str = ""
    """Why there are as many images as there are."""
    subgroups: str = ""
    """For whom it may be worse (age, sex, site), and checks."""
    external_test: str = ""
    """What came out on images of another collection."""
    limitations: str = ""
    """What its authors know to be weak in the study."""
    ethics: str = ""
    """Who approved it, under which number; about consent."""
    registration: str = ""
    """Where protocol and registration can be found."""
    funding: str = ""
    """Who paid, and what part they had in the study."""
    interests: str = ""
    """What the authors stand to gain or lose by the result."""
    data_licence: str = ""
    """Who may get the images, where, on what terms."""
    model_licence: str = ""
    """Licence of the weights, such as apache-2.0."""
    contact: str = ""
    """Whom to write to."""


def read_about(folder: Path) -> About:
    """Read `study.toml` of a study's folder; where there is none, nothing has been said.

    Raises:
        BrainsslError: it is no valid TOML, has a key that is not known, or a value that is no text.
    """
    path = folder / FILE
    if not path.is_file():
        return About()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BrainsslError(f"{path} cannot be read as text: {error}") from None
    try:
        return About.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        last = f"at line {len(text.splitlines())}, the last one"
        told = str(error).replace("at end of document", last)
        raise BrainsslError(f"{path} is no valid TOML: {told}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] != "extra_forbidden":
            raise BrainsslError(f'{path}: {key} is no text: write {key} = "..."') from None
        near = difflib.get_close_matches(key, About.model_fields, n=1, cutoff=0.0)[0]
        raise BrainsslError(f"{path}: there is no key {key}; the nearest is {near}") from None


def template() -> str:
    """Return a `study.toml` in which every key waits to be filled in, under what it asks."""
    asked = (f'# {field.description}\n#{name} = ""\n' for name, field in About.model_fields.items())
    return "\n".join([_HEAD, *asked])


def write_template(folder: Path) -> None:
    """Write the template into a study's folder, unless there is a `study.toml` already."""
    path = folder / FILE
    if not path.exists():
        write_text(path, template())
