"""What is refused is told in one line of JSON."""

import json

from brainssl.serving.answers import NOTICE, Unread
from brainssl.serving.faults import Fault, come_again


def test_a_fault_is_one_line_of_json() -> None:
    files = (Unread(upload=3, file='a"\n<b>.png', error="is empty"),)
    body = Fault(422, "no file can be read", files=files).body
    assert b"\n" not in body
    assert json.loads(body) == {
        "notice": NOTICE,
        "error": "no file can be read",
        "files": [{"file": 'a"\n<b>.png', "upload": 3, "error": "is empty"}],
    }


def test_a_fault_of_the_moment_says_when_to_come_again() -> None:
    assert come_again(429, "too much", 7).headers == {"Retry-After": "7"}
