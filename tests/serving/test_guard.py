"""The door: hosts, origins and tokens, what every answer carries, and what the log keeps."""

import itertools
from typing import Any

import pytest
from oracles.pictures import picture
from oracles.services import Inside

from brainssl.foundation.errors import BadUseError
from brainssl.serving.engine import Engine
from brainssl.serving.faults import Fault
from brainssl.serving.guard import HEADERS, Door, host_names

TOKEN = "0123456789abcdef0123"


def opened(method: str = "GET", path: str = "/model", **headers: str | list[str]) -> int:
    """Return the status that the door gives; 200 where it lets in."""
    given = {"host": "localhost:8000"} | headers
    pairs = [
        (name.replace("_", "-").encode(), one.encode("latin-1"))
        for name, values in given.items()
        for one in ([values] if isinstance(values, str) else values)
    ]
    door = Door(
        hosts=host_names("192.0.2.7", ("Brain.Example", "2001:db8::1")),
        token=TOKEN if path != "/free" else None,
        open=frozenset({"/", "/health"}),
        known=frozenset(),
    )
    try:
        door.check({"type": "http", "method": method, "path": path, "headers": pairs})
    except Fault as fault:
        return fault.status
    return 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.0.2.7", 200),
        ("brain.example:443", 200),
        ("[2001:DB8::1]", 200),
        ("brain.example.evil.test", 421),
        ("evil.test", 421),
        ("127.0.0.1.evil.test", 421),
        ("0.0.0.0:8000", 421),
        ("[::]", 421),
        ("", 421),
        (["localhost", "evil.test"], 421),
        ([], 421),
        ("localhost@evil.test", 421),
        ("[::1", 200),
    ],
)
def test_a_name_that_is_none_of_ours_is_refused(host: str | list[str], status: int) -> None:
    assert opened(path="/free", host=host) == status


def test_an_unspecified_address_is_no_name() -> None:
    for bound in ("0.0.0.0", "::"):
        assert host_names(bound, ()) == {"localhost", "127.0.0.1", "[::1]"}
    assert "[fe80::1]" in host_names("fe80::1", ())


def test_a_port_of_an_allowed_name_is_left_out() -> None:
    for given, name in (
        ("Brain.Example:8443", "brain.example"),
        ("[2001:db8::1]:8443", "[2001:db8::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("192.0.2.9:80", "192.0.2.9"),
    ):
        assert name in host_names("127.0.0.1", (given,))


@pytest.mark.parametrize(
    "name", ["https://brain.example", "brain.example:x", "", ":80", "a b", "[x"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadUseError, match="--allow-host"):
        host_names("127.0.0.1", (name,))


SITES = {None: True, "same-origin": True, "none": True, "same-site": False, "cross-site": False}
ORIGINS = {
    None: True,
    "http://localhost:8000": True,
    "https://localhost:8000": True,
    "http://localhost": False,
    "http://localhost:3000": False,
    "http://evil.test": False,
    "null": False,
    "": False,
}


@pytest.mark.parametrize(("site", "origin"), itertools.product(SITES, ORIGINS))
def test_what_another_page_sends_is_refused(site: str | None, origin: str | None) -> None:
    given: dict[str, Any] = {}
    if site is not None:
        given["sec_fetch_site"] = site
    if origin is not None:
        given["origin"] = origin
    allowed = SITES[site] and ORIGINS[origin]
    assert opened("POST", "/free", **given) == (200 if allowed else 403)
    assert opened("GET", "/free", **given) == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}0", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer \xe4\xf6", 401),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], 401),
        ([], 401),
    ],
)
def test_the_token_is_asked_for(given: str | list[str], status: int) -> None:
    assert opened(authorization=given) == status
    assert opened("POST", "/predict", authorization=given) == status
    assert opened(path="/health", authorization=given) == 200
    assert opened(path="/", authorization=given) == 200


@pytest.fixture(scope="module")
def closed(engine: Engine) -> Any:
    with Inside(engine, token=TOKEN, allow_hosts=("brain.example",)) as service:
        yield service


def test_every_answer_carries_the_headers_and_the_notice(closed: Inside) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for method, path, headers, status in (
        ("GET", "/", {}, 200),
        ("GET", "/page/page.js", {}, 200),
        ("GET", "/health", {}, 200),
        ("GET", "/model", {}, 401),
        ("GET", "/openapi.json", {}, 401),
        ("GET", "/model", bearer, 200),
        ("GET", "/docs", bearer, 404),
        ("GET", "/redoc", bearer, 404),
        ("GET", "/nothing", bearer, 404),
        ("GET", "/page/../../answers.py", bearer, 404),
        ("GET", "/predict", bearer, 405),
        ("OPTIONS", "/predict", bearer | {"Origin": "http://evil.test"}, 405),
        ("POST", "/predict", bearer, 415),
        ("POST", "/predict", bearer | {"Origin": "http://evil.test"}, 403),
        ("GET", "/model", bearer | {"Host": "evil.test"}, 421),
        ("GET", "/model", bearer | {"Host": "brain.example"}, 200),
    ):
        answer = closed.ask(method, path, headers=headers)
        assert answer.status_code == status, (method, path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "access-control-allow-origin" not in answer.headers
        assert "not a medical device" in answer.text or path.endswith(".js")
        if status >= 400:
            assert set(answer.json()) == {"notice", "error", "files"}
            assert "\n" not in answer.text
    assert closed.ask("GET", "/model").headers["www-authenticate"] == "Bearer"


def test_the_log_keeps_no_name(closed: Inside) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}", "X-Patient": "Mueller"}
    del closed.log[:]
    closed.ask("GET", "/model?patient=Mueller", headers=bearer)
    closed.ask("GET", "/Mueller/Anna", headers=bearer)
    sent = {"files": ("Mueller.png", b"Mueller")}
    closed.ask("POST", "/predict?name=Mueller", headers=bearer, files=sent)
    closed.ask("POST", "/predict", headers=bearer, files={"files": ("Mueller.png", picture(0))})
    closed.ask("GET", "/model", headers=bearer | {"Host": "mueller.test"})
    closed.ask("GET", "/model", headers={"Authorization": "Bearer Mueller"})
    lines = closed.log
    assert [line.split()[1:4] for line in lines] == [
        ["GET", "/model", "200"],
        ["GET", "(unknown)", "404"],
        ["POST", "/predict", "415"],
        ["POST", "/predict", "200"],
        ["GET", "/model", "421"],
        ["GET", "/model", "401"],
    ]
    assert "mueller" not in "".join(lines).lower()
    assert TOKEN not in "".join(lines)


def test_a_fault_of_ours_tells_nothing_and_does_not_end_the_service(engine: Engine) -> None:
    class Broken(Engine):
        def answers(self, images, seen):  # type: ignore[no-untyped-def]
            raise RuntimeError("Mueller in /home/somebody")

    with Inside(Broken(engine.classifier)) as service:
        for _ in range(2):
            answer = service.predict(("a.png", picture(0)))
            assert answer.status_code == 500
            assert "Mueller" not in answer.text
        assert "Mueller" not in "".join(service.log)
        assert any("RuntimeError in test_guard.py" in line for line in service.log)
        assert service.ask("GET", "/health").json()["at_work"] == 0


def test_nobody_is_let_in_when_it_ends(engine: Engine) -> None:
    with Inside(engine) as service:
        service.guard.ending = service.service.ending = True
        answer = service.predict(("a.png", picture(0)))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["connection"] == "close"
        health = service.ask("GET", "/health")
        assert (health.status_code, health.json()["ready"]) == (503, False)
