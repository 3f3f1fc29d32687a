"""The contract: answers are what OpenAPI says, and no file of a stranger is a fault of ours."""

from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from oracles.pictures import hostile, picture
from oracles.services import Inside

from brainssl.explanation.cam import MAPS
from brainssl.serving.answers import API, NOTICE
from brainssl.serving.routes import page_paths


@pytest.fixture(scope="module")
def contract(inside: Inside) -> Any:
    answer = inside.ask("GET", "/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def test_the_contract_is_versioned_and_names_every_route(contract: Any) -> None:
    assert contract["info"]["version"] == f"{API}.0"
    assert contract["info"]["description"] == NOTICE
    assert {path: list(one) for path, one in contract["paths"].items()} == {
        "/health": ["get"],
        "/model": ["get"],
        "/predict": ["post"],
        "/explain": ["post"],
        "/dicom": ["post"],
        "/slices": ["post"],
        "/similar": ["post"],
    }
    for path, methods in contract["paths"].items():
        for operation in methods.values():
            for status, told in operation["responses"].items():
                if (path, status) == ("/dicom", "200"):
                    assert set(told["content"]) == {"application/zip"}
                else:
                    assert told["content"]["application/json"]["schema"]["$ref"], (path, status)
            assert operation["security"] == ([{}] if path == "/health" else [{"token": []}, {}])
    for name, schema in contract["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
    form = contract["paths"]["/explain"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(MAPS) < set(form["schema"]["properties"]["method"]["enum"])


OPERATIONS = [
    ("GET", "/health"),
    ("GET", "/model"),
    ("POST", "/predict"),
    ("POST", "/explain"),
    ("POST", "/dicom"),
    ("POST", "/slices"),
    ("POST", "/similar"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_keep_the_contract(inside: Inside, contract: Any, method: str, path: str) -> None:
    """Requests that the contract allows and others; answers are checked against it."""
    operation = schemathesis.openapi.from_dict(contract)[path][method]
    checks = [
        schemathesis.checks.CHECKS.get_one(name)
        for name in (
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
            *(() if path == "/similar" else ("not_a_server_error",)),
        )
    ]
    seen = set()

    @settings(
        max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        prepared = case.as_transport_kwargs(base_url="http://localhost")
        request = sent(prepared)
        answer = inside.wait(inside.client.send(request))
        seen.add(answer.status_code)
        case.validate_response(schemathesis.Response.from_httpx(answer, verify=True), checks=checks)

    ask()
    assert seen


def sent(prepared: dict[str, Any]) -> httpx.Request:
    """Return a request of schemathesis as one of httpx."""
    prepared = {key: value for key, value in prepared.items() if key in KEPT}
    one = requests.Request(**prepared).prepare()
    body = one.body.encode() if isinstance(one.body, str) else one.body
    headers = {key: value for key, value in one.headers.items() if key.lower() != "host"}
    return httpx.Request(str(one.method), str(one.url), headers=headers, content=body)


KEPT = ("method", "url", "headers", "files", "data", "json", "params", "cookies")


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_no_file_of_a_stranger_is_our_fault(inside: Inside, path: str) -> None:
    kinds = list(hostile())
    assert len(kinds) >= 50
    statuses = {200: 0, 413: 0, 415: 0, 422: 0}
    for name, data in kinds if path == "/predict" else kinds[::3]:
        answer = inside.predict((name, data), path=path)
        statuses[answer.status_code] += 1
        told = answer.json()
        assert told["notice"] == NOTICE
        assert "\n" not in answer.text
        rows = told.get("predictions", told.get("explanations", told.get("files")))
        assert all(len(row["file"]) <= 120 for row in rows)
        assert all("/" not in row["file"] for row in rows)
    assert all(statuses.values()) or path == "/explain"
    assert inside.predict(("a.png", picture(0)), path=path).status_code == 200


def test_the_page_is_whole_and_asks_nobody_else(inside: Inside) -> None:
    page = inside.ask("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for file in ("page.css", "page.js"):
        assert f"/page/{file}" in page.text
    for path in page_paths():
        answer = inside.ask("GET", path)
        assert answer.status_code == 200
        told = answer.text.replace("http://www.w3.org/2000/svg", "")  # a name, which nobody asks
        assert "http://" not in told
        assert "https://" not in told
    assert inside.ask("HEAD", "/").status_code == 200
