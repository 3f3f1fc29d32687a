"""Text for LaTeX: nothing in it is a command."""

import re

from hypothesis import given
from hypothesis import strategies as st

from brainssl.reporting.documents.exports import frame_of
from brainssl.reporting.documents.latex import escaped, latex_of
from brainssl.reporting.tables.table import Cell, Line, Table

HOSTILE = r"\input{/etc/passwd} $x_1^2$ 5 % & #1 ~ {a} <b>|"
NAMES = {
    "textbackslash": "\\",
    "textasciicircum": "^",
    "textasciitilde": "~",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
}


def typeset(source: str) -> str:
    """What LaTeX makes of escaped text; it fails on anything that is still special."""
    shown, rest = "", source
    while rest:
        for pattern, meaning in (
            (r"\\(text[a-z]+)\{\}", lambda m: NAMES[m[1]]),
            (r"\\([{}$&#_%])", lambda m: m[1]),
            (r"\$-\$", lambda m: "−"),
            (r"[^\\{}$&#_%^~<>|]", lambda m: m[0]),
        ):
            if match := re.match(pattern, rest, re.DOTALL):
                shown, rest = shown + meaning(match), rest[match.end() :]
                break
        else:
            raise AssertionError(f"special: {rest[:10]!r}")
    return shown


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text(HOSTILE))
def test_text_is_set_as_it_is(text: str) -> None:
    assert typeset(escaped(text)) == re.sub(r"\s", " ", text)


def test_names_in_every_place_of_a_table_are_escaped() -> None:
    lines = (Line((HOSTILE,), (Cell("−1", HOSTILE), Cell("3"))),)
    table = Table("a_b}", HOSTILE, (HOSTILE,), (HOSTILE, "x"), lines)
    text = latex_of(table, frame_of(table))
    assert "\\input" not in text
    assert text.count(escaped(HOSTILE)) == 6  # also in caption and heads
    assert r"\label{tab:a_b-}" in text
    assert " & $-$1 & " in text
    assert len(re.findall(r"(?<!\\)&", text)) == 2 * 3
