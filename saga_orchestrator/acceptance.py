"""What the orchestrator asks of carrito: to accept a checkout, and which ones it has accepted."""

from datetime import datetime
from functools import cache

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from contracts.outcomes import Failure
from contracts.sagas import CHECKOUT
from contracts.states import SagaState, StepState
from contracts.statuses import Pattern, SagaStatus, StepStatus
from httpapi import problems
from httpapi.client import Client, Unreachable
from httpapi.waiting import MOST_SECONDS
from saga_orchestrator.serializers import CheckoutRequest

PASSED_ON = ("Idempotency-Key", "Prefer", "traceparent")
PASSED_BACK = ("Content-Type", "Location", "Retry-After", "Idempotency-Replayed")


class _Told(msgspec.Struct, frozen=True):
    """What carrito tells of a checkout, as far as it matters here."""

    cart_id: str
    saga_pattern: str
    status: SagaStatus
    total_amount: str
    accepted_at: datetime
    ended_at: datetime | None
    failure: Failure | None


def ask_carrito(*, request: Request, wanted: CheckoutRequest) -> HttpResponse:
    """Passes a user's checkout on to carrito, and carrito's answer back. Raises Problem (503)."""
    body = {**msgspec.to_builtins(wanted), "saga_pattern": Pattern.ORCHESTRATED.value}
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    try:
        found = _carrito().post(path="/checkout/saga", body=body, headers=headers)
    except Unreachable as error:
        raise problems.unavailable("carrito") from error
    back = {name: found.headers[name] for name in PASSED_BACK if name in found.headers}
    return HttpResponse(found.body, status=found.status, headers=back)


def accepted_saga(*, saga_id: str) -> SagaState | None:
    """The state of a checkout of this pattern that has not been handed over (yet).

    None: carrito knows of none. Raises Problem (503) where carrito cannot be asked.
    """
    try:
        found = _carrito().get(path=f"/orders/saga/{saga_id}/status")
    except Unreachable as error:
        raise problems.unavailable("carrito") from error
    told = msgspec.json.decode(found.body, type=_Told) if found.status == 200 else None
    if told is None or told.saga_pattern != Pattern.ORCHESTRATED:
        return None
    return _state(saga_id, told)


def _state(saga_id: str, told: _Told) -> SagaState:
    later = StepStatus.SKIPPED if told.status.is_final else StepStatus.PENDING
    accepted, *others = [step.name for step in CHECKOUT.steps]
    first = StepState(
        step_name=accepted,
        status=StepStatus.COMPENSATED if told.status.is_final else StepStatus.COMPLETED,
        started_at=told.accepted_at,
        finished_at=told.ended_at or told.accepted_at,
    )
    return SagaState(
        saga_id=saga_id,
        saga_pattern=told.saga_pattern,
        status=told.status if told.status.is_final else SagaStatus.PENDING,
        current_step=None if told.status.is_final else others[0],
        cart_id=told.cart_id,
        total_amount=told.total_amount,
        started_at=told.accepted_at,
        finished_at=told.ended_at,
        failure=told.failure,
        steps=[first, *(StepState(step_name=name, status=later) for name in others)],
    )


@cache
def _carrito() -> Client:
    # As long as carrito may make somebody wait who prefers to.
    return Client(url=settings.CARRITO_URL, timeout=MOST_SECONDS + 5)
