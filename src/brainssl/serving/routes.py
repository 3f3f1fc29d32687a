"""The routes, and the contract in OpenAPI that they keep."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from brainssl.explanation.cam import MAPS
from brainssl.serving.answers import (
    API,
    NOTICE,
    Explanations,
    Health,
    Model,
    Part,
    Predictions,
    Refusal,
    Similar,
    Slices,
)
from brainssl.serving.engine import ALIASES
from brainssl.serving.faults import Fault
from brainssl.serving.service import EVERY, MOST_NEIGHBOURS, NEIGHBOURS, Service
from brainssl.serving.told_slices import NUMBERS

Responses = dict[int | str, dict[str, Any]]

PAGE = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_REFUSALS = {
    400: "A head that is no HTTP.",
    401: "No token, or not that of this service.",
    403: "Sent by a page of another origin.",
    408: "The body comes too slowly.",
    413: "Too large, or too many files, pixels, voxels or slices.",
    415: "No form, or a file of an unknown kind.",
    421: "Asked by a name that this service does not have.",
    422: "A damaged form or file, or a field that cannot be.",
    429: "Too much at once; `Retry-After` says when to come again.",
    500: "A fault of the service.",
    503: "The service is ending, or the answer took too long.",
}
_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "format": "binary"},
    "description": "Pictures, DICOM or NIfTI, told by content; and JSON sidecars of NIfTI.",
}


def routes_of(service: Service) -> FastAPI:
    """Return the application: routes of one service that is running, and its page."""
    app = FastAPI(
        title="brainssl serve",
        version=f"{API}.0",
        description=NOTICE,
        docs_url=None,  # they fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    handle_faults(app)
    add_page(app, PAGE)

    ending: Responses = {503: {"model": Health, "description": "The service is ending."}}

    @app.get("/health", responses=ending | _told(400, 421, 500), response_model=Health)
    async def health() -> Response:
        """Say whether requests are taken; needs no token."""
        said = service.health()
        return _json(said, 200 if said.ready else 503)

    @app.get("/model", responses=_told(400, 401, 421, 500, 503), response_model=Model)
    async def model() -> Response:
        """Say what answers here, and what it knows of its limits."""
        return _json(service.model())

    @app.post("/predict", responses=_told(*_REFUSALS), response_model=Predictions, **_form({}))
    async def predict(request: Request) -> Response:
        """Classify files."""
        return _json(await service.predict(request.scope, request.receive))

    @app.post(
        "/explain", responses=_told(*_REFUSALS), response_model=Explanations, **_form(_MAP_FIELDS)
    )
    async def explain(request: Request) -> Response:
        """Show what in files speaks for a class."""
        return _json(await service.explain(request.scope, request.receive))

    unable: Responses = {
        200: {"content": {"application/zip": {}}, "description": "Two DICOM files in a zip."},
        501: {"model": Refusal, "description": "The service cannot write DICOM."},
    }

    @app.post(
        "/dicom",
        responses=_told(*_REFUSALS) | unable,
        response_class=Response,
        **_form(_MAP_FIELDS | _SLICE_FIELDS),
    )
    async def dicom(request: Request) -> Response:
        """Write what in one slice of DICOM files speaks for a class as DICOM."""
        made = await service.dicom(request.scope, request.receive)
        named = {"Content-Disposition": 'attachment; filename="brainssl-dicom.zip"'}
        return Response(made, headers=named, media_type="application/zip")

    @app.post(
        "/slices", responses=_told(*_REFUSALS), response_model=Slices, **_form(_NUMBERS_FIELD)
    )
    async def slices(request: Request) -> Response:
        """Return slices at their own resolution, for who looks at them."""
        return _json(await service.slices(request.scope, request.receive))

    unknown: Responses = {501: {"model": Refusal, "description": "The classifier knows no cases."}}

    @app.post(
        "/similar",
        responses=_told(*_REFUSALS) | unknown,
        response_model=Similar,
        **_form(_COUNT_FIELD),
    )
    async def similar(request: Request) -> Response:
        """Name the known cases that are nearest to files."""
        return _json(await service.similar(request.scope, request.receive))

    _secure(app)
    return app


_NUMBERS_FIELD = {
    "slices": {
        "type": "string",
        "pattern": NUMBERS,
        "description": "Of volumes, the number of a slice, or the first and the last: 3-40. By "
        "default all.",
    }
}
_MAP_FIELDS = _NUMBERS_FIELD | {
    "method": {
        "type": "string",
        "enum": sorted({*MAPS, *ALIASES, EVERY}),
        "default": "gradcam",
        "description": "Kind of map; /model names those of the classifier, and `all` are these.",
    },
    "label": {
        "type": "string",
        "maxLength": 200,
        "description": "Class that is asked about; by default the one that is predicted.",
    },
}
_SLICE_FIELDS = {
    "file": {
        "type": "string",
        "maxLength": 120,
        "description": "Of the slice, as answers tell it.",
    },
    "slice": {
        "type": "integer",
        "minimum": 1,
        "description": "Its number, where there are several.",
    },
}
_COUNT_FIELD = _NUMBERS_FIELD | {
    "count": {"type": "integer", "minimum": 1, "maximum": MOST_NEIGHBOURS, "default": NEIGHBOURS}
}


def paths_of(app: FastAPI) -> frozenset[str]:
    """Return the paths that there are."""
    return frozenset(str(route.path) for route in app.routes if hasattr(route, "path"))


def page_paths(page: Path = PAGE) -> frozenset[str]:
    """Return the paths of a page and its files."""
    return frozenset(_page_files(page))


def _page_files(page: Path) -> dict[str, Path]:
    files = {f"/page/{file.name}": file for file in page.iterdir() if file.suffix in _KINDS}
    return {"/": page / "index.html"} | files


def add_page(app: FastAPI, page: Path) -> None:
    """Read a page once: no name from outside is looked for on disk."""

    def answering(content: bytes, kind: str) -> Any:
        async def shown() -> Response:
            return Response(content, media_type=kind)

        return shown

    for path, file in _page_files(page).items():
        answer = answering(file.read_bytes(), _KINDS[file.suffix])
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)


def handle_faults(app: FastAPI) -> None:
    """Answer faults in one line of JSON."""

    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = {404: "there is no such route", 405: "this route has another method"}
        said = Refusal(error=told.get(error.status_code, "the request cannot be answered"))
        return JSONResponse(said.model_dump(), error.status_code, headers=error.headers)

    async def of_ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, Fault)
        return Response(error.body, error.status, error.headers, "application/json")

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Fault, of_ours)


def _json(said: Part, status: int = 200) -> Response:
    return Response(said.model_dump_json(), status, media_type="application/json")


def _told(*statuses: int) -> Responses:
    return {one: {"model": Refusal, "description": _REFUSALS[one]} for one in statuses}


def _form(fields: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"files": _FILES, **fields},
        "required": ["files"],
        "additionalProperties": False,
    }
    body = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    return {"openapi_extra": {"requestBody": body}}


def _secure(app: FastAPI) -> None:
    """Write the token into the contract: where a service has one, every route but /health asks."""
    contract = app.openapi()
    contract["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in contract["paths"].items():
        for operation in methods.values():
            operation["security"] = [{}] if path == "/health" else [{"token": []}, {}]
