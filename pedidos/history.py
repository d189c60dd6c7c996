"""An order's history, payment and delivery, from the coordinator, pagos and envios."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings

from catalogue import SAGAS
from contracts import projection
from contracts.patterns import PATTERNS
from contracts.saga import Saga
from contracts.states import Awaited, SagaStatus, StepStatus
from httpapi import waiting
from httpapi.client import Client, Unreachable
from pedidos.models import Order

SECONDS = 2.0
"""The limit for another service's answer; the order is then shown without it."""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the order's saga, and its time."""

    event: str
    at: datetime


class _Step(msgspec.Struct, frozen=True):
    step_name: str
    status: StepStatus
    response_data: dict[str, Any] = {}
    started_at: datetime | None = None
    finished_at: datetime | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    occurred_at: datetime


class CoordinatorState(msgspec.Struct, frozen=True):
    """The fields of a coordinator's answer that make an order's history."""

    steps: list[_Step]
    events: list[_Event] = []
    waiting: Awaited | None = None


class ToPay(msgspec.Struct, frozen=True, kw_only=True):
    """The payment of a purchase. `status`: null if pagos does not answer. `until`, `confirm_url`,
    `cancel_url`: until when, and where, its customer may decide; null: not any more.
    """

    payment_id: str
    url: str
    status: str | None
    until: datetime | None = None
    confirm_url: str | None = None
    cancel_url: str | None = None


class _PaymentStatus(msgspec.Struct, frozen=True):
    status: str


class _Deliveries(msgspec.Struct, frozen=True):
    results: list[dict[str, Any]]


def state(*, order: Order) -> CoordinatorState | None:
    """The saga's state at its coordinator; None if there is none, or it does not answer."""
    pattern = PATTERNS.get(order.saga_pattern)
    if order.saga not in SAGAS or pattern is None:
        return None
    path = pattern.state.format(saga_id=quote(order.saga_id, safe=""))
    found: CoordinatorState | None = _asked(pattern.coordinator, path, CoordinatorState)
    return found


def of(*, order: Order, state: CoordinatorState | None) -> list[Happened]:
    """The order's events by time; without a coordinator's state only those that pedidos knows."""
    saga = SAGAS.get(order.saga)
    if saga is None:
        return []
    reported = list(events_in(state=state, saga=saga)) if state else []
    names = {happened.event for happened in reported}
    known = reported + [happened for happened in _own(saga, order) if happened.event not in names]
    return sorted(known, key=lambda happened: happened.at)


def payment(*, order: Order, state: CoordinatorState | None) -> ToPay | None:
    """The payment that the order's customer confirms or cancels; None before it is made, or if no
    customer is asked.
    """
    saga = SAGAS.get(order.saga)
    deciding = [step.name for step in saga.steps if step.decided_by] if saga else []
    made = [step.response_data.get("payment_id") for step in state.steps] if state else []
    payment_id = next(filter(None, made), None)
    if not (deciding and payment_id):
        return None
    path = f"/payments/{quote(payment_id, safe='')}"
    found = _asked("pagos", path, _PaymentStatus)
    url = settings.SERVICE_URLS["pagos"] + path
    waiting = state.waiting if state else None
    known = ToPay(payment_id=payment_id, url=url, status=found.status if found else None)
    if waiting is None or waiting.step not in deciding:
        return known
    return msgspec.structs.replace(
        known, until=waiting.until, confirm_url=f"{url}/confirm", cancel_url=f"{url}/cancel"
    )


def delivery(*, order: Order) -> dict[str, Any] | None:
    """The order's delivery as envios shows it; None: there is none, or envios does not answer."""
    saga = SAGAS.get(order.saga)
    if saga is None or "envios" not in projection.services_of(saga):
        return None
    path = f"/deliveries?page_size=1&order_id={quote(order.saga_id, safe='')}"
    found = _asked("envios", path, _Deliveries)
    return found.results[0] if found and found.results else None


def events_in(*, state: CoordinatorState, saga: Saga) -> Iterator[Happened]:
    """The state's events if it has them (choreographed); otherwise those that follow from its
    steps, except the first step's: that is the acceptance, which pedidos itself knows.
    """
    if state.events:
        for event in state.events:
            if event.type not in projection.NOTICES:
                yield Happened(event=event.type, at=event.occurred_at)
        return
    steps = {step.name: step for step in saga.steps[1:]}
    for found in state.steps:
        step = steps.get(found.step_name)
        if step is None:  # the acceptance, or a step of another version of the definition
            continue
        is_undone = found.status is StepStatus.COMPENSATED
        if found.status is StepStatus.FAILED and found.finished_at:
            yield Happened(event=step.refused or step.done, at=found.finished_at)
        done_at = found.started_at if is_undone else found.finished_at
        if found.status in (StepStatus.COMPLETED, StepStatus.COMPENSATED) and done_at:
            yield Happened(event=step.done, at=done_at)
        if is_undone and found.finished_at and step.undone:
            yield Happened(event=step.undone, at=found.finished_at)


def _own(saga: Saga, order: Order) -> Iterator[Happened]:
    first, last = saga.steps[0], saga.steps[-1]
    yield Happened(event=first.done, at=order.accepted_at)
    if order.ended_at:
        is_completed = order.status == SagaStatus.COMPLETED
        yield Happened(event=last.done if is_completed else first.undone, at=order.ended_at)


def _asked(service: str, path: str, kind: type[Any]) -> Any:
    """The service's answer; None if it gives no usable one."""
    try:
        with waiting.for_an_answer():
            given = _client(service).get(path=path)
        return given.decode(type=kind) if given.status == 200 else None
    except Unreachable:
        return None


@cache
def _client(service: str) -> Client:
    return Client(service, timeout=SECONDS, connections=waiting.MOST_WAITING)
