"""All that is sent, compared with the documents: every answer of a door in this process with its
OpenAPI document, every message in an outbox with the AsyncAPI document.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, get_resolver, resolve
from django.urls import path as url
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from catalogue.services import WITH_WORKER
from contracts import asyncapi, events
from contracts.declared_doors import METHODS
from contracts.events import Event
from contracts.patterns import HAS_TEMPORAL
from contracts.saga import SAGAS
from coordination import closing
from httpapi import docs, health, openapi
from httpapi.metrics import metrics
from messaging import views as failed

_PARAMETER = re.compile(r"<(?:\w+:)?\w+>|{\w+}")


def shape_of(path: str) -> str:
    """A path without the names of its parameters."""
    return _PARAMETER.sub("{}", path)


class Document:
    """One of our documents, and the validators of its parts. `seen`: the parts that were used."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.seen: set[tuple[str, ...]] = set()
        self.content: Any = json.loads(json.dumps(content).replace('"#/', '"urn:document#/'))
        resource = Resource(contents=self.content, specification=DRAFT202012)
        self._registry = Registry().with_resource("urn:document", resource)
        self._validators: dict[tuple[str, ...], Draft202012Validator] = {}

    def errors(self, where: tuple[str, ...], schema: Any, value: Any) -> list[str]:
        """The errors of the value by the schema, whose place is `where`."""
        self.seen.add(where)
        if where not in self._validators:
            self._validators[where] = Draft202012Validator(
                schema,
                registry=self._registry,
                format_checker=Draft202012Validator.FORMAT_CHECKER,
            )
        problems = self._validators[where].iter_errors(value)
        return [f"{error.json_path}: {_text_of(error)}"[:400] for error in problems]


def _text_of(error: Any) -> str:
    """The error, and for alternatives the errors of each."""
    return "; ".join([error.message, *(inner.message for inner in error.context or ())])


def urls_of(service: str) -> list[Any]:
    """The paths of a service, as config.urls puts them together in its own process."""
    return [*urls_of_kind(service), *own_urls(service), *shared_urls(service)]


def urls_of_kind(service: str) -> list[Any]:
    """Of these, the paths of all services that accept sagas, or have decisions."""
    urls: list[Any] = apps.get_app_config(service).urls() if service in WITH_WORKER else []
    return urls


def own_urls(service: str) -> list[Any]:
    """Of these, the paths that only it has."""
    own = "accounts" if service == "dashboard" else service  # whose other paths are pages
    patterns: list[Any] = import_module(f"{own}.urls").urlpatterns
    return patterns


def shared_urls(service: str) -> list[Any]:
    """Of these, the paths of all services."""
    urls = [url("", health.about), url("metrics", metrics), *docs.urlpatterns, *health.urlpatterns]
    if service in WITH_WORKER:
        urls += [*failed.urls(service=service), *closing.urls(service=service)]
    return urls


@cache
def of_service(service: str) -> Document:
    """The document of a service."""
    return _shaped(openapi.document(service=service, urls=urls_of(service)))


@cache
def http(urlconf: str) -> Document:
    """The document of this URL configuration."""
    urls = get_resolver(urlconf).url_patterns
    return _shaped(openapi.document(service=settings.SERVICE, urls=urls))


def _shaped(document: dict[str, Any]) -> Document:
    """With its paths by their shape: `/carts/{}`."""
    shaped = {shape_of(path): operations for path, operations in document["paths"].items()}
    return Document({**document, "paths": shaped})


@cache
def messages() -> Document:
    return Document(asyncapi.document())


def check_answer(request: HttpRequest, response: HttpResponse) -> list[str]:
    """The parts of an answer that its door has not declared. Paths without a door are skipped."""
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in METHODS or request.path_info.startswith(openapi.NO_DOORS):
        return []
    if response.streaming:
        return []
    urlconf = getattr(request, "urlconf", None) or settings.ROOT_URLCONF
    try:
        route = resolve(request.path_info, urlconf).route
    except Resolver404:
        return []
    return _errors(
        http(urlconf),
        method,
        shape_of(f"/{route}"),
        Answer(
            response.status_code,
            response.get("Content-Type", ""),
            # The server takes the body of a HEAD away.
            None if request.method == "HEAD" else response.content,
        ),
    )


def check_call(service: str, method: str, path: str, answer: "Answer") -> list[str]:
    """The same for a service that runs elsewhere: `path` with its query."""
    document = of_service(service)
    if answer.status == 404 and b"no_such_path" in (answer.content or b""):
        return []
    for shape in document.content["paths"]:
        if re.fullmatch(shape.replace("{}", "[^/]+"), path.partition("?")[0]):
            return _errors(document, method, shape, answer)
    return []


class Answer(NamedTuple):
    """`content`: None if it is not to be checked."""

    status: int
    content_type: str
    content: bytes | None


def _errors(document: Document, method: str, shape: str, answer: Answer) -> list[str]:
    doors = document.content["paths"].get(shape, {})
    if method.lower() not in doors:
        return [] if answer.status >= 400 or not doors else [f"{method} {shape}: no door"]
    given = doors[method.lower()]["responses"].get(str(answer.status))
    where = method, shape, str(answer.status)
    if given is None:
        return [f"{' '.join(where)} is not documented: {answer.content!r}"[:400]]
    if "$ref" in given:
        named = given["$ref"].rpartition("/")[2]
        given = document.content["components"]["responses"][named]
    contents = given.get("content", {})
    if answer.content is None:
        return []
    if not contents:
        return [f"{' '.join(where)} has a body"] if answer.content else []
    kind = answer.content_type.partition(";")[0]
    if kind not in contents:
        return [f"{' '.join(where)} is {kind}, not {', '.join(contents)}"]
    value = json.loads(answer.content) if kind.endswith("json") else answer.content.decode()
    errors = document.errors((*where, kind), contents[kind]["schema"], value)
    return [f"{' '.join(where)}: {error}: {answer.content[:600]!r}" for error in errors]


AS_MANY = 20
"""Messages of each type and service that are read back from a stack."""


def check_outboxes(rows: Callable[[str, str], list[tuple[Any, ...]]]) -> list[str]:
    """The errors in the messages that services have sent, in any process. `rows`: returns the rows
    of a statement in a service's database.
    """
    sent = [
        (service, str(body))
        for service in WITH_WORKER
        for (body,) in rows(
            service,
            f"""SELECT body FROM (
                    SELECT body, row_number() OVER (PARTITION BY event_type ORDER BY id DESC) AS n
                    FROM {service}_outboxentry) AS entry
                WHERE n <= {AS_MANY}""",
        )
    ]
    assert sent or HAS_TEMPORAL, "nothing has travelled"  # on Temporal nothing does
    return [
        error
        for service, body in sent
        for error in check_message(service, events.decode(body.encode()))
    ]


def check_message(service: str, event: Event) -> list[str]:
    """The errors in a message; messages of sagas that are not the shop's are skipped."""
    if event.saga not in SAGAS or event.route not in messages().content["components"]["messages"]:
        return [] if event.saga not in SAGAS else [f"{event.route} is not documented"]
    document = messages()
    if f"{service}.sends.{event.route}" not in document.content["operations"]:
        return [f"{service} does not send {event.route}, the document says"]
    schema = document.content["components"]["messages"][event.route]["payload"]
    errors = document.errors((event.route,), schema, json.loads(events.encode(event)))
    return [f"{event.route} {error}: {events.encode(event)[:900]!r}" for error in errors]
