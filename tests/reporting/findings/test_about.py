import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.foundation.errors import BrainsslError
from brainssl.reporting.findings.about import FILE, About, read_about, template, write_template

KEYS = list(About.model_fields)


def test_without_a_file_nothing_has_been_said(tmp_path: Path) -> None:
    assert set(read_about(tmp_path).model_dump().values()) == {""}


def test_the_template_says_nothing_and_asks_for_every_key(tmp_path: Path) -> None:
    write_template(tmp_path)
    assert tomllib.loads((tmp_path / FILE).read_text("utf-8")) == {}
    assert read_about(tmp_path) == About()
    lines = template().splitlines()
    asked = {line: above for above, line in pairwise(lines) if line[:1] == "#"}
    assert all(re.fullmatch(r"# .+\.", asked[f'#{key} = ""']) for key in KEYS)


def test_the_template_is_valid_once_it_is_filled_in(tmp_path: Path) -> None:
    filled = re.sub(r'^#(\w+) = ""$', r'\1 = "about \1"', template(), flags=re.MULTILINE)
    (tmp_path / FILE).write_text(filled, "utf-8")
    assert read_about(tmp_path).model_dump() == {key: f"about {key}" for key in KEYS}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'\xef\xbb\xbffunding = "none"\n')
    assert read_about(tmp_path).funding == "none"


def test_what_a_person_wrote_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('funding = "none"\n', "utf-8")
    write_template(tmp_path)
    assert (tmp_path / FILE).read_text("utf-8") == 'funding = "none"\n'


@given(key=st.sampled_from(KEYS), data=st.data())
def test_a_slip_in_a_key_is_told_with_the_key_that_was_meant(
    key: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = data.draw(st.integers(0, len(key) - 1))
    slip = key[:at] + key[at + 1 :]
    folder = tmp_path_factory.mktemp("slip")
    (folder / FILE).write_text(f'{slip} = "x"\n', "utf-8")
    with pytest.raises(BrainsslError) as told:
        read_about(folder)
    assert str(told.value) == f"{folder / FILE}: there is no key {slip}; the nearest is {key}"


@pytest.mark.parametrize("value", ["2019-01-01", "3", "true", '["a"]', "{ a = 1 }"])
def test_a_value_that_is_no_text_is_told_with_its_key(tmp_path: Path, value: str) -> None:
    (tmp_path / FILE).write_text(f"dates = {value}\n", "utf-8")
    with pytest.raises(BrainsslError, match=r'study\.toml: dates is no text: write dates = "'):
        read_about(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"), [('a = "b"\n\nfunding = none\n', 3), ("\n\n\nfunding = ", 4)]
)
def test_wrong_toml_is_told_in_one_line_with_file_and_line(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    with pytest.raises(BrainsslError) as told:
        read_about(tmp_path)
    assert str(told.value).startswith(f"{tmp_path / FILE} is no valid TOML: ")
    assert f"at line {line}," in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(BrainsslError, match=r"study\.toml cannot be read as text"):
        read_about(tmp_path)


def test_the_manual_names_every_key() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "document-a-study.md"
    named = set(re.findall(r"`(\w+)`", page.read_text("utf-8")))
    assert set(KEYS) - named == set()
