"""The documents of a service: /openapi.json, /asyncapi.json, and the page /docs. Each is made once,
at the first request; the page needs no script, and no other file.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.urls import get_resolver, path
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from contracts import asyncapi, bounds
from contracts.doors import PUBLIC, Text, door
from httpapi.openapi import document

JSON, HTML = "application/json", "text/html; charset=utf-8"
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""The page contains its styles, and loads nothing else."""
_TEMPLATE = Path(__file__).with_name("docs.html")
DEEPEST = 3
"""Levels of nested fields that a table shows."""


@door(PUBLIC, gives={200: dict[str, Any]})
def openapi(request: HttpRequest) -> HttpResponse:
    """This document: every door of the service (OpenAPI 3.1)"""
    return HttpResponse(_openapi(), content_type=JSON)


@door(PUBLIC, gives={200: dict[str, Any]})
def messages(request: HttpRequest) -> HttpResponse:
    """Every event, request and reply of every saga (AsyncAPI 3)"""
    return HttpResponse(_asyncapi(), content_type=JSON)


@door(PUBLIC, gives={200: Text("text/html")})
def page(request: HttpRequest) -> HttpResponse:
    """The same documents as a page"""
    return HttpResponse(
        _page(), content_type=HTML, headers={"Content-Security-Policy": _PAGE_POLICY}
    )


urlpatterns = [
    path("openapi.json", openapi),
    path("asyncapi.json", messages),
    path("docs", page),
]
"""The paths of every service."""


def served() -> dict[str, Any]:
    """The document of this process's service."""
    service = settings.SERVICE if apps.is_installed(settings.SERVICE) else ""
    return document(service=service, urls=get_resolver().url_patterns)


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(served())


@cache
def _asyncapi() -> bytes:
    return msgspec.json.encode(asyncapi.document())


@cache
def _page() -> bytes:
    return rendered(served()).encode()


def rendered(found: dict[str, Any]) -> str:
    """An OpenAPI document as a page."""
    schemas = found["components"]["schemas"]
    groups = [
        {"tag": tag, "operations": list(_operations(found, schemas, tag["name"]))}
        for tag in found["tags"]
    ]
    used = [group for group in groups if group["operations"]]
    template = Engine().from_string(_TEMPLATE.read_text())
    first, _, canvas = found["info"]["description"].strip().partition("\n\n")
    about = first.removeprefix(f"{found['info']['title']}: ")
    context = {"info": found["info"], "about": about, "canvas": canvas, "groups": used}
    return template.render(Context(context))


def _marked(text: str) -> SafeString:
    """The text with its `names` as code."""
    return mark_safe(_NAMED.sub(r"<code>\1</code>", escape(text)))  # noqa: S308 -- it is escaped  # nosec B308


_NAMED = re.compile(r"`([^`]+)`")


class Field(NamedTuple):
    """A row of a table. `depth`: its level of nesting."""

    name: str
    kind: str
    note: str
    required: bool
    depth: int


def _operations(found: Any, schemas: Any, tag: str) -> Iterator[dict[str, Any]]:
    for where, methods in found["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                body = operation.get("requestBody", {}).get("content", {}).get(JSON)
                yield {
                    **operation,
                    "summary": _marked(operation["summary"]),
                    "description": _marked(operation["description"]),
                    "method": method.upper(),
                    "path": where,
                    "parameters": [
                        _parameter(parameter, schemas) for parameter in operation["parameters"]
                    ],
                    "body": _shown(body, schemas) if body else None,
                    "answers": [*_answers(found, schemas, operation)],
                }


def _parameter(parameter: Any, schemas: Any) -> dict[str, Any]:
    schema = parameter["schema"]
    note = _marked(parameter.get("description", "") or _note(schema))
    return {**parameter, "place": parameter["in"], "kind": _kind(schema, schemas), "note": note}


def _answers(found: Any, schemas: Any, operation: Any) -> Iterator[dict[str, Any]]:
    for status, given in operation["responses"].items():
        if "$ref" in given:
            given = found["components"]["responses"][given["$ref"].rpartition("/")[2]]
        contents = given.get("content", {})
        shown = [_shown(content, schemas) for kind, content in contents.items() if kind == JSON]
        problems = [content for kind, content in contents.items() if kind.endswith("problem+json")]
        codes = [content["schema"]["properties"]["code"]["enum"] for content in problems]
        yield {
            "status": status,
            "what": _marked(given["description"]),
            "shown": shown[0] if shown else None,
            "codes": codes[0] if codes else [],
        }


def _shown(content: Any, schemas: Any) -> dict[str, Any]:
    """A body: its alternatives, each a table, and an example."""
    schema = content["schema"]
    kinds = schema.get("anyOf", [schema])
    example = msgspec.json.format(msgspec.json.encode(content["example"]), indent=2).decode()
    return {
        "kinds": [
            {"name": _kind(kind, schemas), "fields": [*_fields(_inner(kind), schemas, 0)]}
            for kind in kinds
        ],
        "example": example,
    }


def _inner(schema: Any) -> Any:
    return schema.get("items", schema) if schema.get("type") == "array" else schema


def _fields(schema: Any, schemas: Any, depth: int) -> Iterator[Field]:
    schema = _resolved(schema, schemas)
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield Field(name, _kind(field, schemas), _note(field), name in required, depth)
        if depth + 1 < DEEPEST:
            parts = [part for part in field.get("anyOf", [field]) if part != {"type": "null"}]
            if len(parts) == 1:
                yield from _fields(_inner(parts[0]), schemas, depth + 1)


def _resolved(schema: Any, schemas: Any) -> Any:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _kind(schema: Any, schemas: Any) -> str:
    """The type in a word or two: `string`, `list of ItemShown`, `string or null`."""
    if schema.get("pattern") == _MONEY:
        return "money"
    if parts := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(part, schemas) for part in parts))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return str(_resolved(schema, schemas).get("title", name)).lstrip("_")
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    if isinstance(kind, list):
        return " or ".join(kind)
    return str({"date-time": "time", "decimal": "money"}.get(schema.get("format"), kind))


_MONEY = get_args(bounds.MoneyText)[1].pattern
_USUAL = (_MONEY, bounds.MOST_INTEGER, -bounds.MOST_INTEGER - 1)
"""Limits that the type implies."""
_LIMITS = {
    "maxLength": "at most {} characters",
    "minimum": "from {:,}",
    "maximum": "to {:,}",
    "minItems": "at least {}",
    "maxItems": "at most {:,}",
    "pattern": "as {}",
}


def _note(schema: Any) -> str:
    """The allowed words, limits and default of a field."""
    notes = ["not empty"] if schema.get("minLength") == 1 else []
    if words := schema.get("enum"):
        notes.append(", ".join(str(word) for word in words))
    notes += [
        text.format(schema[limit])
        for limit, text in _LIMITS.items()
        if limit in schema and schema[limit] not in _USUAL
    ]
    notes += [note for part in schema.get("anyOf", []) if (note := _note(part))]
    if schema.get("default") not in (None, "", [], {}):
        notes.append(f"default {msgspec.json.encode(schema['default']).decode()}")
    return "; ".join(dict.fromkeys(notes))
