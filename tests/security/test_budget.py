"""The cost of authentication, compared with the same request without it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts.doors import SHOP, door
from httpapi import authentication, identity
from httpapi.json import answer
from httpapi.middleware import RequestContext
from tests.security.conftest import Issuer, bearer

_serve = RequestContext.__call__
"""Without the tests' check that answers are documented."""
ROUNDS, LOOPS = 7, 400
STEP_RATIO, STEP_MICROSECONDS = 1.35, 5.0
VIEW_RATIO, VIEW_MICROSECONDS = 1.12, 20.0


@door(callers=["saga_orchestrator"])
def step(request: HttpRequest) -> HttpResponse:
    return answer({"outcome": "done"})


class Cart(APIView):
    @door(SHOP)
    def get(self, request: Request) -> HttpResponse:
        return answer({"id": "1"})


def seconds(make: Callable[[], HttpRequest], view: Any) -> float:
    """The seconds of a request through the middleware and the view."""

    def answered(asked: HttpRequest) -> HttpResponse:
        refused = context.process_view(asked, view)
        response: HttpResponse = refused or view(asked)
        return response

    context = RequestContext(answered)
    requests = [make() for _ in range(LOOPS)]
    started = time.thread_time()  # without the CPU of other processes
    for request in requests:
        assert _serve(context, request).status_code == 200
    return (time.thread_time() - started) / LOOPS


def without_authentication(request: HttpRequest, declared: Any, shown: Any) -> None:
    """In place of authentication.admit."""
    request.principal = identity.EVERYBODY  # type: ignore[attr-defined] # as it does
    request.owner = None  # type: ignore[attr-defined] # the same


def costs(token: str, view: Any) -> tuple[float, float]:
    """Seconds of the same request without authentication, and with a token that is checked: the
    least of several rounds, measured in turn.
    """
    factory = RequestFactory(SERVER_NAME="localhost")
    without, asked = [], []

    def request() -> HttpRequest:
        made: HttpRequest = factory.get("/", headers=bearer(token))
        return made

    for _ in range(ROUNDS):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(authentication, "presented", lambda *_: identity.EVERYBODY)
            patch.setattr(authentication, "admit", without_authentication)
            without.append(seconds(request, view))
        asked.append(seconds(request, view))
    return min(without), min(asked)


@pytest.mark.parametrize(
    ("view", "is_step", "ratio", "microseconds"),
    [
        (step, True, STEP_RATIO, STEP_MICROSECONDS),
        (Cart.as_view(), False, VIEW_RATIO, VIEW_MICROSECONDS),
    ],
    ids=["step", "view"],
)
def test_authentication_costs_next_to_nothing(
    required: Issuer, view: Any, is_step: bool, ratio: float, microseconds: float
) -> None:
    to = {"to": "carrito"}
    token = required.service("saga_orchestrator", **to) if is_step else required.user()
    before = authentication.verified
    without, asked = costs(token, view)
    assert authentication.verified == before + 1
    more = (asked - without) * 1e6
    assert more <= microseconds or asked / without <= ratio, f"{more:.1f} us, {asked / without:.2f}"
