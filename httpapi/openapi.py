"""The OpenAPI document (3.1) of a service, from the declarations of its doors.

Beside its own refusals, each door has those that are the same for all: an unreadable body, an
address that is too long, a database that is down.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib import import_module
from typing import Any

from rest_framework.views import APIView

from contracts import bounds, declared_doors
from contracts.declared_doors import Door
from contracts.doors import Audience, Text
from contracts.saga import EXAMPLES
from contracts.schemas import Schemas
from httpapi import rates
from httpapi.problems import CONTENT_TYPE
from httpapi.waiting import MOST_SECONDS

JSON = "application/json"
VERSION = "1"
"""Of the API: fields and doors are added, never changed."""
NO_DOORS = ("/admin", "/static")
"""Prefixes of the pages behind a login."""
_WITHOUT_BODY = ("GET", "DELETE")
"""The methods whose fields are in the query."""
_UNREADABLE_BODY = ("parse_error", "incomplete_body", "too_deep")
_COMMON: dict[int, Sequence[str]] = {
    400: ("invalid", "bad_request"),
    401: ("unauthenticated",),
    403: ("forbidden",),
    429: (rates.CODE,),
    406: ("not_acceptable",),
    413: ("too_long",),
    414: ("too_long",),
    415: ("unsupported_media_type",),
    503: ("unavailable", "busy", "overloaded"),
}
_MEANINGS = {
    200: "Done",
    201: "Created",
    202: "Accepted and durable, or waiting for a decision",
    204: "Done, without a body",
    207: "An outcome for each item of the list, in order",
    400: "A field is wrong (`errors` names each), or the body can't be read",
    401: "The token is missing or invalid",
    403: "The caller has no right to this",
    404: "Not found",
    405: "The path does not have this method",
    406: "The caller does not accept JSON",
    409: "A business refusal, with its code; a repetition gets the same answer",
    413: "The body is too long",
    414: "The address is too long",
    415: "The body is not JSON in UTF-8",
    422: "The Idempotency-Key belongs to another request",
    429: "Too many requests, unfinished sagas or wrong passwords of this person; see Retry-After",
    503: "A dependency is down or busy, or the service is overloaded: retry after Retry-After",
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Idempotency-Key": (
        "The caller's name for this request: a repetition gets the same answer",
        {"type": "string", "minLength": 1, "maxLength": bounds.MOST_KEY},
    ),
    "Prefer": (
        f"`wait=N`: waits up to N seconds for the saga's end (at most {MOST_SECONDS:g})",
        {"type": "string", "examples": ["wait=5"]},
    ),
    "traceparent": (
        "W3C Trace Context: passed on",
        {"type": "string", "examples": [EXAMPLES.get("traceparent", "")]},
    ),
}
_OF_STARTED = {
    "Location": {"description": "The URL of the state", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` if an earlier request with this key started the saga",
        "schema": {"type": "string"},
    },
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Programs should use `code`.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


_OF_PATHS = ("not_found", "no_such_path")
"""Of paths with parameters: an unknown thing, and a name that is never valid."""


def document(*, service: str, urls: Iterable[Any]) -> dict[str, Any]:
    """The document of all doors of a URL configuration."""
    found = declared_doors.all_in(urls, but=NO_DOORS)
    schemas = Schemas(kind for door in found for kind in _types(door))
    paths: dict[str, dict[str, Any]] = {}
    for door in found:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, schemas)
    about = import_module(service).__doc__ if service else "All services in one process."
    return {
        "openapi": "3.1.0",
        "info": {"title": service or "dueto", "version": VERSION, "description": about or ""},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": audience.value, "description": _OF_TAGS[audience]} for audience in Audience
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": _TOKEN},
            "schemas": {**schemas.components, "Problem": _PROBLEM},
            "responses": {
                _common_name(status): _problem(status, codes)
                for status, codes in (*_COMMON.items(), (404, _OF_PATHS))
            },
        },
    }


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Of a person with one of the scopes, or of a service that may call this door."
    " In the mode demo, from this machine, no token is needed.",
}
_OF_TAGS = {
    Audience.SHOPPER: "For shoppers, and for the shop's pages",
    Audience.MERCHANT: "For merchants: products and payments",
    Audience.OPERATOR: "For operators of the shop",
    Audience.SERVICE: "For other services",
    Audience.ANYONE: "Open to all",
}


def _types(door: Door) -> list[Any]:
    given = [door.declared.takes, *door.declared.gives.values()]
    parts = [part for kind in given for part in (kind if type(kind) is tuple else (kind,))]
    return [part for part in parts if part is not None and not isinstance(part, Text)]


def _operation(door: Door, schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _id_of(door),
        "summary": _sentence(door.what),
        "description": door.what,
        "tags": [door.declared.audience.value],
        "security": [] if door.declared.is_public else [{"token": sorted(door.declared.scopes)}],
        "parameters": [*_parameters(door, schemas)],
        "responses": _responses(door, schemas),
    }
    if door.declared.takes is not None and door.method not in _WITHOUT_BODY:
        found["requestBody"] = _body(door, schemas)
    return found


def _id_of(door: Door) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in door.path).strip("_")
    return "_".join(filter(None, [door.method.lower(), *words.split("_")]))


def _sentence(text: str) -> str:
    """The first sentence or clause."""
    return text.partition(". ")[0].partition("; ")[0]


def _parameters(door: Door, schemas: Schemas) -> Iterable[dict[str, Any]]:
    for name in door.parameters:
        schema = {"type": "string"}
        yield _parameter(name, "path", schema, required=True) | _example(schemas, schema, name)
    if door.method in _WITHOUT_BODY and door.declared.takes is not None:
        for name, schema, required in schemas.fields(door.declared.takes):
            yield _parameter(name, "query", _present(schema), required=required)
    for name in door.declared.headers:
        text, schema = _HEADERS[name]
        yield _parameter(name, "header", schema, required=False) | {"description": text}


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a query's field without null, which a query can't contain."""
    parts = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
    return parts[0] if len(parts) == 1 else {k: v for k, v in schema.items() if v is not None}


def _parameter(name: str, place: str, schema: Any, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _example(schemas: Schemas, schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {"example": schemas.example(schema, name)}


def _body(door: Door, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.of(door.declared.takes)
    example = door.declared.example or schemas.example(schema)
    # If all fields have defaults, the body may be empty.
    may_be_empty = not schemas.resolved(schema).get("required", ["something"])
    return {
        "required": not may_be_empty,
        "content": {JSON: {"schema": schema, "example": example}},
    }


def _responses(door: Door, schemas: Schemas) -> dict[str, Any]:
    found: dict[int, Any] = {
        status: _answer(status, kind, schemas) for status, kind in door.declared.gives.items()
    }
    if "Prefer" in door.declared.headers:
        for given in found.values():
            given["headers"] = _OF_STARTED
    for status, codes in _refusals(door).items():
        is_common = tuple(codes) == tuple(_COMMON.get(status, _OF_PATHS))
        if status in found:  # /health has its own answer for 503
            found[status]["content"] |= _problem(status, codes)["content"]
        elif is_common:
            found[status] = {"$ref": f"#/components/responses/{_common_name(status)}"}
        else:
            found[status] = _problem(status, codes)
    return {str(status): found[status] for status in sorted(found)}


def _answer(status: int, kind: Any, schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _MEANINGS[status]}
    if isinstance(kind, Text):
        found["content"] = {kind.media_type: {"schema": {"type": "string"}}}
    elif kind is not None:
        schema = schemas.of(kind)
        found["content"] = {JSON: {"schema": schema, "example": schemas.example(schema)}}
    return found


def _refusals(door: Door) -> dict[int, list[str]]:
    """By status: the door's own codes, and those that all such doors have."""
    found = {status: list(codes) for status, codes in door.declared.refuses.items()}

    def also(status: int, codes: Sequence[str]) -> None:
        own = found.setdefault(status, [])
        own += [code for code in codes if code not in own]

    has_body = door.method not in _WITHOUT_BODY
    also(400, _COMMON[400])
    also(400, _UNREADABLE_BODY if has_body else ("unexpected_body",))
    also(401, _COMMON[401])  # also for open doors, which refuse an invalid token
    if not door.declared.is_public:
        also(403, _COMMON[403])
        also(429, _COMMON[429])
    if has_body:
        also(413, _COMMON[413])
        also(415, _COMMON[415])
    if door.parameters:
        also(404, _OF_PATHS)
    if isinstance(door.view, type) and issubclass(door.view, APIView):
        also(406, _COMMON[406])
    also(414, _COMMON[414])
    also(503, _COMMON[503])
    return found


def _problem(status: int, codes: Sequence[str]) -> dict[str, Any]:
    schema = {
        "$ref": "#/components/schemas/Problem",
        "properties": {"status": {"const": status}, "code": {"enum": list(codes)}},
    }
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": codes[0],
        "detail": f"{codes[0].replace('_', ' ').capitalize()}.",
    }
    found: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {CONTENT_TYPE: {"schema": schema, "example": example}},
    }
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found


def _common_name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")
