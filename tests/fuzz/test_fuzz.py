"""Under random requests and messages, no door answers with a server error, no consumer crashes, and
all that was stored can be read back.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from types import ModuleType

import hypothesis
import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from accounts.holders import Holders
from catalogue.services import WITH_DATABASE
from config import urls as config_urls
from coordination import pausing
from httpapi import openapi
from httpapi.keys import PEOPLE
from messaging.brokers.memory import forget
from tests import documented
from tests.fuzz.doors import OF_ONE_SERVICE
from tests.fuzz.shop import BY_HAND, FuzzedShop

pytestmark = [
    pytest.mark.django_db(databases=[*WITH_DATABASE, "default"], transaction=True),
    pytest.mark.timeout(0),  # as long as it takes
]
SETTLE_EVERY = 250
REPORT_EVERY = 2_000
MOST_FAILURES = 20
FROM_DOCUMENT = 5
"""Requests per operation, at least, that fit its document, and as many that do not."""
HELD_TO = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
"""That a wrong request is refused is not checked: a null in a query is sent as the text `null`,
which is valid, and a path for calls by hand ignores the `step` and `saga` of the body.
"""


@pytest.fixture
def fuzzed(monkeypatch, settings, pytestconfig, tmp_path):
    Holders(tmp_path).make_missing()
    settings.ACCOUNTS_KEY = str(tmp_path / f"{PEOPLE}.json")
    settings.RESERVATION_SECONDS = 3600
    settings.REDRIVE_SECONDS = 0
    logging.disable(logging.CRITICAL)
    seed = pytestconfig.getoption("--fuzz-seed") or time.time_ns() % 10**9
    pytestconfig.get_terminal_writer().line(f"\nfuzz: --fuzz-seed {seed}", flush=True)
    yield FuzzedShop(monkeypatch, Random(seed))
    logging.disable(logging.NOTSET)
    forget("seeded")
    pausing._seen.clear()  # what a request has paused is not paused for the tests after it


def tried(fuzzed: FuzzedShop, send: Callable[[], None], config: pytest.Config) -> list[str]:
    count = config.getoption("--fuzz")
    started = time.monotonic()
    for number in range(1, count + 1):
        send()
        if number % SETTLE_EVERY == 0:
            fuzzed.settle()
        if number % REPORT_EVERY == 0:
            rate = number / (time.monotonic() - started)
            statuses = dict(sorted(sum(fuzzed.answers.values(), Counter()).items()))
            line = f"{number} of {count}, {rate:.0f}/s, {len(fuzzed.failures)} failures, {statuses}"
            config.get_terminal_writer().line(line, flush=True)
        if len(fuzzed.failures) >= MOST_FAILURES:
            break
    fuzzed.settle()
    fuzzed.read_back()
    return fuzzed.failures


@pytest.mark.undocumented  # a step's key under two operations gets the answer of the first
def test_no_request_is_a_server_error(fuzzed, pytestconfig):
    failures = tried(fuzzed, fuzzed.request, pytestconfig)
    assert not failures, "\n".join(failures)
    assert fuzzed.breaches() == []


@pytest.mark.undocumented("messages")  # a forged message's context is passed on
def test_no_message_stops_a_consumer(fuzzed, pytestconfig):
    failures = tried(fuzzed, fuzzed.message, pytestconfig)
    assert not failures, "\n".join(failures)
    assert fuzzed.breaches() == []


@pytest.mark.parametrize("service", [*WITH_DATABASE, "dashboard"])
def test_doors_keep_to_their_document(fuzzed, settings, pytestconfig, service):
    """By requests that Schemathesis makes of the document, and by its own reading of that."""
    settings.SERVICE = service
    settings.ROOT_URLCONF = urls = ModuleType(f"{service} alone")
    urls.__dict__.update(vars(config_urls), urlpatterns=documented.urls_of(service))
    count = max(FROM_DOCUMENT, pytestconfig.getoption("--fuzz") // 400)
    document = openapi.document(service=service, urls=urls.urlpatterns)
    operations = schemathesis.openapi.from_dict(document).get_all_operations()
    failures = [
        f"{operation.label}: {failure}"
        for operation in (result.ok() for result in operations)
        if operation.path[1:] not in OF_ONE_SERVICE
        for mode in GenerationMode
        for failure in failures_of(operation, mode, count)
    ]
    assert not failures, "\n".join(failures)


def failures_of(operation, mode, count):
    @hypothesis.settings(max_examples=count, database=None, suppress_health_check=HealthCheck)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def tried(case):
        answer = case.call(app=get_wsgi_application(), base_url="http://localhost")
        case.validate_response(answer, checks=HELD_TO)

    try:
        tried()
    except BaseExceptionGroup as group:
        return group.exceptions
    except hypothesis.errors.Unsatisfiable:  # the operation has no parameter that could be wrong
        assert mode is GenerationMode.NEGATIVE
    return ()


def test_door_that_errs_is_found(fuzzed, monkeypatch):
    """The control: a bug at a door is among the failures."""
    monkeypatch.setattr("carrito.store.cart", lambda *, cart_id: 1 // 0)
    fuzzed.doors = [door for door in fuzzed.doors if door.path == "carts/<str:cart_id>"]
    while not fuzzed.failures:
        fuzzed.request()
    assert fuzzed.failures[0].startswith("500: GET /carts/")


def test_consumer_that_crashes_is_found(fuzzed, monkeypatch):
    """The control: a message that can't even be parked is among the failures."""
    monkeypatch.setattr("messaging.failed.dead_letter", lambda **_: 1 // 0)
    while not fuzzed.failures:
        fuzzed.message()
    assert "ZeroDivisionError" in fuzzed.failures[0]


def test_row_that_cannot_be_read_back_is_found(fuzzed, monkeypatch):
    """The control: a stored value that breaks its page is among the failures."""
    monkeypatch.setattr("carrito.serializers.cart", lambda cart: 1 // 0)
    fuzzed.read_back()
    assert fuzzed.failures[0].startswith("can't be read back (500): /carts/")


@pytest.mark.undocumented  # as above
def test_key_of_a_step_under_another_operation_is_no_server_error(fuzzed):
    steps = [door for door in fuzzed.doors if door.is_step and door.path.startswith("steps/")]
    pairs = [
        (first, second)
        for first in steps
        for second in steps
        if first.view.operation.service == second.view.operation.service
    ]
    for number, pair in enumerate(pairs):
        for door in pair:
            body = (fuzzed.valid.get(door.path) or fuzzed._made_up(door))[0]
            body = (body[0] if isinstance(body, list) else body) | {
                "saga_id": f"{BY_HAND}-{number}",
                "step": "same",
                "saga": "checkout",
            }
            answered = fuzzed.client.post(f"/{door.path}", body, content_type="application/json")
            assert answered.status_code < 500, (pair[0].path, door.path, answered.content)
