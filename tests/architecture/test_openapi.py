"""The documents of the API and of the messages conform to their standards, and each example fits
its schema.
"""

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver, path
from jsonschema import Draft7Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from catalogue.services import WITH_DATABASE
from contracts import asyncapi, bounds, declared_doors
from contracts.saga import ANSWERS, SAGAS
from httpapi import docs, openapi
from httpapi.steps import PlainView, StepView
from tests import documented

ASYNCAPI = Path(__file__).with_name("asyncapi-3.0.0.json.gz")
JSON = "application/json"


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    return Draft7Validator(json.loads(gzip.decompress(ASYNCAPI.read_bytes())))


def document_of(service: str) -> dict[str, Any]:
    return openapi.document(service=service, urls=documented.urls_of(service))


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for where, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {where}", operation


@pytest.mark.parametrize("service", [*WITH_DATABASE, "dashboard"])
def test_service_documents_all_its_doors_as_openapi(service: str) -> None:
    document = document_of(service)
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_invalid_document_is_noticed() -> None:
    document = document_of("tarjetas")
    document["paths"]["/charges/{key}"]["get"]["parameters"] = []
    assert [*OpenAPIV31SpecValidator(document).iter_errors()]


def test_every_door_declares_itself() -> None:
    """Also the paths that only a process of all services has."""
    together = [get_resolver().url_patterns, *map(documented.urls_of, WITH_DATABASE)]
    silent = [
        door for urls in together for door in declared_doors.silent_in(urls, but=openapi.NO_DOORS)
    ]
    assert silent == []


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_door_that_takes_a_list_says_how_long_and_no_other_does(service: str) -> None:
    for door in declared_doors.all_in(documented.urls_of(service)):
        takes = door.declared.takes
        kinds = takes if isinstance(takes, tuple) else (takes,)
        takes_list = any(getattr(kind, "__origin__", None) is list for kind in kinds)
        is_longer = door.declared.most_bytes > bounds.MOST_BYTES_OF_ONE
        # A step by its path names one saga, and shares its view with those that take lists.
        is_step = isinstance(door.view, type) and issubclass(door.view, StepView)
        assert is_longer or not takes_list, f"{door.method} {door.path}"
        assert takes_list or is_step or not is_longer, f"{door.method} {door.path}"


def test_door_that_declares_nothing_is_noticed() -> None:
    class SilentView(PlainView):
        def post(self, request: HttpRequest) -> HttpResponse:
            raise NotImplementedError

    urls = [*documented.urls_of("tarjetas"), path("silent", SilentView.as_view())]
    assert declared_doors.silent_in(urls) == ["POST /silent"]


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_each_example_fits_its_schema(service: str) -> None:
    document = documented.of_service(service)
    wrong = []
    for name, operation in operations(document.content):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for place, body in enumerate(bodies):
            content = body.get("content", {}).get(JSON)
            if content:
                errors = document.errors((name, str(place)), content["schema"], content["example"])
                wrong += [f"{name}: {error}" for error in errors]
    assert not wrong


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_door_can_read_the_example_of_its_body(service: str) -> None:
    """Also rules beyond a schema: for example, a total is the sum of its lines."""
    document = document_of(service)
    for door in declared_doors.all_in(documented.urls_of(service)):
        body = document["paths"][door.path][door.method.lower()].get("requestBody")
        if body:
            takes = door.declared.takes
            kind = takes[0] if isinstance(takes, tuple) else takes
            msgspec.convert(body["content"][JSON]["example"], kind)


def test_each_example_of_a_message_fits_its_schema() -> None:
    document = documented.messages()
    wrong = []
    for name, message in document.content["components"]["messages"].items():
        value = message["examples"][0]["payload"]
        wrong += [
            f"{name}: {error}" for error in document.errors((name,), message["payload"], value)
        ]
    assert not wrong


def test_messages_are_documented_as_asyncapi(official: Draft7Validator) -> None:
    assert [error.message for error in official.iter_errors(asyncapi.document())] == []


def test_invalid_document_of_messages_is_noticed(official: Draft7Validator) -> None:
    document = copy.deepcopy(asyncapi.document())
    document["operations"]["pagos.sends.checkout.payment.processed"]["action"] = "shout"
    assert not official.is_valid(document)


def test_each_step_of_the_sagas_declares_its_results() -> None:
    operations = {step.operation for saga in SAGAS.values() for step in saga.steps}
    assert operations == {name for name in ANSWERS if not name.endswith(".pad")}


def test_page_shows_every_door_and_needs_nothing_from_outside() -> None:
    document = document_of("carrito")
    page = docs.rendered(document)
    assert all(f'id="{operation["operationId"]}"' in page for _, operation in operations(document))
    assert not any(mark in page for mark in ("<script", "<link", "<img", "src=", "@import", "url("))
