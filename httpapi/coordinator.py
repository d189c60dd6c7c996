"""What the HTTP doors of both coordinators share, so that one is called like the other.

A checkout comes in three forms: a list of frozen ones (carrito's hand-over), a single frozen one,
or a shopper's, which carrito has to accept and freeze first. And a saga that is not known here
may still be on its way from carrito.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, cast
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import refusals, sagas
from contracts.commands import Checkout
from contracts.money import amount
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.states import SagaState, SagaSummary, StepState
from contracts.statuses import FINAL, SagaStatus, StepStatus
from httpapi import problems, slots, waiting
from httpapi.client import Answer, Client, Unreachable
from httpapi.json import RawJsonParser, answer, decode
from httpapi.steps import MOST_IN_A_BATCH
from httpapi.waiting import Waiters
from sagas import points, sql

_PASSED_ON = ("Idempotency-Key", "traceparent")
CARRITO_SECONDS = 10.0
"""For carrito to accept a shopper's checkout, or to say how one stands."""
_PASSED_BACK = ("Retry-After", "Idempotency-Replayed")


class CheckoutView(APIView):
    """POST a list of frozen checkouts: 207 with an outcome each; refused: it never starts.

    POST one frozen checkout (it has a saga_id): 202. POST a shopper's checkout: whatever carrito
    answers, which accepts it first and then hands it over here.
    """

    service: str
    patterns: Sequence[str]
    """Those that start here; a shopper's checkout gets the first, unless it names another."""
    saga_path: str
    """Where a saga is looked at: `/saga/{saga_id}`."""
    first_status: SagaStatus
    parser_classes = [RawJsonParser]

    def start(self, *, checkouts: Sequence[Checkout]) -> None:
        """Starts these, durably; one that is known already is left as it is."""
        raise NotImplementedError

    def post(self, request: Request) -> HttpResponse:
        body = request.data if isinstance(request.data, bytes) else b""
        if body.lstrip().startswith(b"["):
            return answer(self._hand_over(body), status=207)
        fields = decode(body)
        if not isinstance(fields, dict):
            raise problems.wrong_field("body", "an object, or a list of frozen checkouts")
        if "saga_id" in fields:
            return self._start_one(request, decode(body, type=Checkout))
        return self._pass_to_carrito(request, fields)

    def _hand_over(self, body: bytes) -> list[Outcome]:
        found = _checkouts(body)
        if len(found) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} checkouts in one list")
        decided = [one if isinstance(one, Refused) else self._decide(one) for one in found]
        started = [
            one
            for one, outcome in zip(found, decided, strict=True)
            if isinstance(one, Checkout) and isinstance(outcome, Done)
        ]
        if started:
            self.start(checkouts=started)
        points.reach("coordinator.before_reply")
        return decided

    def _decide(self, checkout: Checkout) -> Outcome:
        if checkout.saga_pattern in self.patterns:
            return Done({"saga_id": checkout.saga_id})
        detail = f"{checkout.saga_pattern!r} does not start here, but {', '.join(self.patterns)}."
        return Refused(refusals.WRONG_PATTERN, detail)

    def _start_one(self, request: Request, checkout: Checkout) -> HttpResponse:
        if checkout.saga_pattern not in self.patterns:
            raise problems.wrong_field("saga_pattern", f"one of {', '.join(self.patterns)} here")
        self.start(checkouts=[checkout])
        points.reach("coordinator.before_reply_to_one")
        url = self._url_of(request, checkout.saga_id)
        return answer(
            {
                "saga_id": checkout.saga_id,
                "cart_id": checkout.cart_id,
                "total_amount": str(amount(checkout.total_amount)),
                "status": self.first_status,
                "saga_pattern": checkout.saga_pattern,
                "status_url": url,
            },
            status=202,
            headers={"Location": url},
        )

    def _pass_to_carrito(self, request: Request, fields: dict[str, Any]) -> HttpResponse:
        if fields.setdefault("saga_pattern", self.patterns[0]) not in self.patterns:
            raise problems.wrong_field("saga_pattern", f"one of {', '.join(self.patterns)} here")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        with waiting.places.one() as has_place:
            given = _accepted_by_carrito(fields, headers, has_place)
            if given.status == 202 and has_place:
                given = self._ended(request, given)
        return self._as_given(request, given)

    def _ended(self, request: Request, accepted: Answer) -> Answer:
        """What carrito says once the saga has ended here, if the shopper wants to wait for that;
        what it said before, where the time is over."""
        seconds = waiting.seconds_of(prefer=request.headers.get("Prefer", ""))
        saga_id = _saga_id_of(accepted)
        if not seconds or not _waiters(self.service).wait_in_place(key=saga_id, seconds=seconds):
            return accepted
        try:
            ended = _status_at_carrito(saga_id)
        except Unreachable:
            return accepted
        return (
            Answer(ended.status, ended.body, accepted.headers) if ended.status == 200 else accepted
        )

    def _as_given(self, request: Request, given: Answer) -> HttpResponse:
        """Carrito's answer; where to look at the saga is here, where the shopper can get."""
        back = {name: given.headers[name] for name in _PASSED_BACK if name in given.headers}
        if given.status not in (200, 202):
            kind = given.headers.get("Content-Type", "application/json")
            return HttpResponse(given.body, status=given.status, headers=back, content_type=kind)
        url = self._url_of(request, _saga_id_of(given))
        told = {**back, "Location": url}
        return answer({**given.json(), "status_url": url}, status=given.status, headers=told)

    def _url_of(self, request: Request, saga_id: str) -> str:
        path = self.saga_path.format(saga_id=quote(saga_id, safe=""))
        return str(request.build_absolute_uri(path))


def state_at_carrito(
    *, saga_id: str, patterns: Sequence[str], look_again: Callable[[], SagaState | None]
) -> SagaState:
    """A saga of these patterns that was not known here: `pending` while carrito hands it over.

    `look_again`: what is known here by now. One that has ended by the time that carrito is asked
    may have been handed over and run since the first look, and only here are its steps known.
    Raises Problem: 404 where carrito has no such saga either, 503 where it cannot be asked.
    """
    try:
        given = _status_at_carrito(saga_id)
        found: _Accepted | None = given.decode(type=_Accepted) if given.status == 200 else None
    except Unreachable as error:
        raise problems.unavailable("carrito, which may know this saga,") from error
    if found is None:
        raise problems.unknown("saga", saga_id)
    if found.saga_pattern not in patterns:
        raise problems.unknown("saga of this pattern", saga_id)
    state = found.state()
    return (look_again() if state.status.is_final else None) or state


def not_here(*, state: SagaState) -> Refused:
    """Why nothing can be asked yet of a saga that carrito knows, and its coordinator does not."""
    if state.status is SagaStatus.PENDING:
        return Refused(refusals.NOT_STARTED, "It is accepted and starts in a moment: ask again.")
    if state.status is SagaStatus.COMPLETED:
        return Refused(refusals.NOT_STARTED, "It is known here in a moment: ask again.")
    return Refused(refusals.ALREADY_UNDONE, f"This checkout is {state.status} already.")


def summary_of(*, state: SagaState) -> SagaSummary:
    """The short form."""
    return SagaSummary(
        saga_id=state.saga_id,
        saga_pattern=state.saga_pattern,
        status=state.status,
        current_step=state.current_step,
        cart_id=state.cart_id,
        started_at=state.started_at,
        finished_at=state.finished_at,
    )


class _Named(msgspec.Struct):
    saga_id: str


class _Stated(msgspec.Struct):
    """A problem, as carrito states one."""

    status: int


class _Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout as carrito answers it."""

    saga_id: str
    saga_pattern: str
    cart_id: str
    status: SagaStatus
    total_amount: str
    failure: Failure | None
    accepted_at: datetime
    ended_at: datetime | None

    def state(self) -> SagaState:
        status = self.status if self.status.is_final else SagaStatus.PENDING
        return SagaState(
            saga_id=self.saga_id,
            saga_pattern=self.saga_pattern,
            status=status,
            current_step=None,
            cart_id=self.cart_id,
            total_amount=self.total_amount,
            started_at=self.accepted_at,
            finished_at=self.ended_at,
            failure=self.failure,
            steps=[self._step(status, one.name) for one in sagas.CHECKOUT.steps],
        )

    def _step(self, status: SagaStatus, name: str) -> StepState:
        if status is SagaStatus.COMPLETED:
            return StepState(step_name=name, status=StepStatus.COMPLETED)
        is_pending = status is SagaStatus.PENDING
        if name == sagas.ACCEPT:
            return StepState(
                step_name=name,
                status=StepStatus.COMPLETED if is_pending else StepStatus.COMPENSATED,
                finished_at=self.accepted_at if is_pending else self.ended_at,
            )
        return StepState(
            step_name=name, status=StepStatus.PENDING if is_pending else StepStatus.SKIPPED
        )


def _checkouts(body: bytes) -> list[Checkout | Refused]:
    """Reads them all at once; where that fails, one by one, so that one harms only itself."""
    try:
        return list(decode(body, type=list[Checkout]))
    except msgspec.ValidationError:
        return [_checkout(one) for one in decode(body, type=list[msgspec.Raw])]


def _checkout(body: msgspec.Raw) -> Checkout | Refused:
    try:
        return decode(body, type=Checkout)
    except msgspec.ValidationError as error:
        return Refused(refusals.MALFORMED_CHECKOUT, str(error))


def _accepted_by_carrito(
    fields: Mapping[str, Any], headers: dict[str, str], has_place: bool
) -> Answer:
    """Raises Problem (503). Without a slot where there is a place for those who wait: carrito may
    be slow, and hand-overs, which it makes, must not wait for it."""
    client = _carrito(settings.CARRITO_URL)
    try:
        with slots.given_back(if_wanted=has_place):
            given = client.post(path="/checkout/saga", body=fields, headers=headers)
        _check_answer(given)
    except Unreachable as error:
        raise problems.unavailable("carrito, which accepts checkouts,") from error
    return given


def _check_answer(given: Answer) -> None:
    """Raises Unreachable where it is neither a checkout nor a problem as carrito states them."""
    if given.status in (200, 202):
        _saga_id_of(given)
    elif given.status < 400 or given.decode(type=_Stated).status != given.status:
        raise Unreachable(f"carrito answered {given.status}", status=given.status)


def _saga_id_of(given: Answer) -> str:
    """Raises Unreachable."""
    return cast(str, given.decode(type=_Named).saga_id)


def _status_at_carrito(saga_id: str) -> Answer:
    """Raises Unreachable."""
    path = f"/orders/saga/{quote(saga_id, safe='')}/status"
    with waiting.for_an_answer():
        return _carrito(settings.CARRITO_URL).get(path=path)


@cache
def _carrito(url: str) -> Client:
    return Client(url=url, timeout=CARRITO_SECONDS, connections=waiting.MOST_WAITING)


@cache
def _waiters(service: str) -> Waiters:
    return Waiters(service=service, ended=partial(_ended_among, service))


def _ended_among(service: str, saga_ids: Sequence[str]) -> set[str]:
    statement = f"SELECT saga_id FROM {service}_saga WHERE saga_id = ANY(%s) AND status = ANY(%s)"
    rows = sql.execute(service=service, sql=statement, values=[list(saga_ids), list(FINAL)])
    return {row[0] for row in rows}
