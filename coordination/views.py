"""The HTTP doors of coordinators for people and owners, the same for all of them.

GET  <below>/<saga_id>              a saga's state, step by step; /status: its summary
GET  <below>/<listed>               all sagas, newest first, in pages
POST <below>/<saga_id>/compensate   and /retry, /skip: the interventions of people
POST <below>/<name of a saga>       starts a saga, through its owner, which accepts it
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NotRequired, TypedDict, TypeVar, cast

import msgspec
from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, projection, refusals
from contracts.doors import OPS_ACT, OPS_READ, SHOP, Declared, Scope, declared, door, door_by
from contracts.saga import SAGAS
from contracts.states import (
    FINAL,
    AnsweredState,
    AnsweredSummary,
    Intervention,
    InterventionWithReason,
    SagaState,
    SagaStatus,
    SagaSummary,
    answered,
)
from coordination import owner_views, owners
from coordination.coordinator import Ask, Coordinator
from coordination.coordinator import urls as service_doors
from coordination.store import UnknownSaga
from httpapi import identity, pages, problems, slots, waiting
from httpapi.client import ServiceResponse, Unreachable
from httpapi.json import answer, decode
from httpapi.steps import made
from httpapi.waiting import Waiters
from participant import sql

_BEGUN = (201, 202)
"""The statuses of an owner's answer that has accepted a saga."""
_PASSED_ON = ("Authorization", "Idempotency-Key", "traceparent")
"""To the owner, which authenticates the caller itself."""
_PASSED_BACK = ("Retry-After", "Idempotency-Replayed")

_CLOSED_FOR_NOW = ("paused", "overloaded")
"""Codes of problems (503) of an owner that runs, but accepts no saga now."""


class SagaFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which sagas to list: `?status=&saga_pattern=&saga=&waiting=`, and the fields of paging."""

    status: SagaStatus | None = None
    saga_pattern: str = ""
    saga: str = ""
    waiting: bool | None = None


class SagasPage(pages.PageFields):
    """A page of sagas, which it contains twice: as `results` and as `sagas`."""

    results: list[AnsweredSummary]
    sagas: list[AnsweredSummary]
    total: int


class Started(TypedDict):
    """A saga that its owner has accepted, with the owner's fields; `status_url`: of its state."""

    saga_id: str
    saga: NotRequired[str]
    status: NotRequired[str]
    saga_pattern: NotRequired[str]
    status_url: str


WHY_NOT = (
    refusals.ALREADY_UNDONE,
    refusals.PAST_PIVOT,
    refusals.NOTHING_TO_RETRY,
    refusals.NOT_STARTED,
    refusals.CLOSED,
    refusals.UNREADABLE,
)
"""The refusals of interventions."""
ASKS = {
    "compensate": "Undoes the saga: until its pivot an abort, after it a return (operators only)",
    "retry": "Retries the step at which the saga is parked, with all its tries",
    "skip": "Continues without the step at which the saga is parked, which was done otherwise",
}
_OPERATORS = (refusals.NEEDS_OPERATOR,)
"""The refusals of interventions that only an operator may make."""


def _starting() -> Declared:
    """The door that starts any saga: it answers and refuses as the saga's owner does."""
    accepting = [saga.steps[0].operation for saga in SAGAS.values()]
    return declared(
        SHOP,
        takes=dict[str, Any],
        gives={200: Started, 201: Started, 202: Started},
        refuses={**owner_views.refusals_of(accepting), 405: ("method_not_allowed",)},
        headers=owner_views.STARTS,
        what="Starts the saga that the path names, through its owner, with the owner's fields.",
    )


class _View(APIView):
    """A person sees their own sagas, a service the sagas that it owns, an operator all sagas."""

    coordinator: Coordinator

    def state(self, request: Request, saga_id: str) -> SagaState:
        """Raises Problem, as Coordinator.state_or_at_owner."""
        user_id = identity.owner(request)
        return _owned(request, self.coordinator.state_or_at_owner(saga_id, user_id=user_id))

    def summary(self, request: Request, saga_id: str) -> SagaSummary:
        """The saga's summary; raises Problem likewise."""
        user_id = identity.owner(request)
        return _owned(request, self.coordinator.summary_or_at_owner(saga_id, user_id=user_id))


class SagaView(_View):
    """GET: a saga's state, step by step. POST, to a saga's name: starts a saga at its owner."""

    @door_by(
        lambda view, path: declared(
            SHOP, OPS_READ, callers=projection.owners(), gives={200: AnsweredState}
        )
    )
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = self.state(request, saga_id)
        is_their_own = identity.owner(request) is not None
        return answer(answered(_for_its_user(found) if is_their_own else found))

    @door_by(lambda view, path: _starting())
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        if not owners.is_served(saga_id):
            raise problems.method_not_allowed("POST", allowed="GET")
        fields = decode(request.body)
        if not isinstance(fields, dict):
            raise problems.wrong_field("body", "an object")
        own = self.coordinator.patterns
        if fields.setdefault("saga_pattern", own[0]) not in own:
            raise problems.wrong_field("saga_pattern", f"one of {', '.join(own)} here")
        fields.setdefault("saga", saga_id)
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        with waiting.places.one() as has_place:
            given = _accepted_by_owner(saga_id, fields, headers, has_place)
            if given.status in _BEGUN and has_place:
                given = self._ended(request, saga_id, given)
        return self._as_given(request, given)

    def _ended(self, request: Request, saga: str, accepted: ServiceResponse) -> ServiceResponse:
        """The owner's answer once the saga has ended here, if the caller waits for that; its first
        answer if the time is over."""
        seconds = waiting.seconds_of(prefer=request.headers.get("Prefer", ""))
        saga_id = _saga_id_of(accepted)
        waiters = _waiters(self.coordinator.service)
        if not seconds or not waiters.wait_in_place(key=saga_id, seconds=seconds):
            return accepted
        try:
            ended = owners.shown(saga=saga, accepted=accepted)
        except Unreachable:
            return accepted
        return (
            ServiceResponse(200, ended.body, accepted.headers) if ended.status == 200 else accepted
        )

    def _as_given(self, request: Request, given: ServiceResponse) -> HttpResponse:
        """The owner's answer, with the saga's URL here, which the caller can reach."""
        back = {name: given.headers[name] for name in _PASSED_BACK if name in given.headers}
        if given.status not in (200, *_BEGUN):
            kind = given.headers.get("Content-Type", "application/json")
            return HttpResponse(given.body, status=given.status, headers=back, content_type=kind)
        url = self.coordinator.url_of(request, _saga_id_of(given))
        told = {**back, "Location": url}
        return answer({**given.json(), "status_url": url}, status=given.status, headers=told)


class StatusView(_View):
    """A saga's summary."""

    @door(SHOP, OPS_READ, gives={200: AnsweredSummary})
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        return answer(answered(self.summary(request, saga_id)))


class ListView(_View):
    """All sagas, newest first, in pages; of one status, pattern or name if asked."""

    @door(OPS_READ, takes=SagaFilter, gives={200: SagasPage})
    def get(self, request: Request) -> HttpResponse:
        wanted = bounds.of_query(request.query_params, SagaFilter, but_empty=True)
        own = self.coordinator.patterns
        if wanted.saga_pattern and wanted.saga_pattern not in own:
            raise problems.wrong_field("saga_pattern", f"one of {', '.join(own)}")
        found = self.coordinator.sagas(
            status=wanted.status,
            saga_pattern=wanted.saga_pattern,
            saga=wanted.saga,
            waiting=wanted.waiting,
        )
        page = pages.page(request=request, found=found, wanted=wanted)
        results = [answered(summary) for summary in self.coordinator.summaries(page.rows)]
        return answer({**page.answer(results=results), "sagas": results, "total": page.count})


class AskView(_View):
    """POST: a person's intervention in a saga (ASKS)."""

    what: str
    ask: Ask
    asked: type[Intervention] = Intervention
    scopes: Sequence[Scope] = (OPS_ACT,)

    @door_by(
        lambda view, path: declared(
            *view.scopes,
            callers=projection.owners() if SHOP in view.scopes else (),
            takes=view.asked,
            gives={202: AnsweredSummary},
            refuses={409: WHY_NOT} | ({403: _OPERATORS} if SHOP in view.scopes else {}),
            what=view.what,
        )
    )
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        wanted = msgspec.convert(request.data or {}, self.asked)
        principal, is_their_own = identity.of(request), identity.owner(request) is not None
        by = principal.named(wanted.requested_by, field="requested_by", otherwise="api")
        _check_reason(request, wanted.reason)
        if is_their_own or principal.service:
            self.summary(request, saga_id)  # raises; a saga's owner and user never change
        limited = {"may_return": False} if is_their_own else {}
        try:
            refused = self.ask(saga_id=saga_id, requested_by=by, reason=wanted.reason, **limited)
        except UnknownSaga:
            state = self.state(request, saga_id)
            raise problems.refusal(owners.not_here(state=state)) from None
        if refused:
            raise problems.refusal(refused, status=403 if refused.code in _OPERATORS else 409)
        return answer(
            answered(self.summary(request, saga_id)),
            status=202,
            headers={"Location": self.coordinator.url_of(request, saga_id)},
        )


def _check_reason(request: Request, reason: str) -> None:
    """A person who acts on another user's saga must give a reason. Raises Problem (400)."""
    principal = identity.of(request)
    is_own = identity.owner(request) is not None
    if not (reason.strip() or is_own or principal.service or principal.is_demo):
        raise problems.wrong_field("reason", "why: it is stored with your name, and shown")


def urls(coordinator: Coordinator) -> list[URLPattern]:
    """The paths of a coordinator."""
    below = coordinator.below
    asks: dict[str, dict[str, Any]] = {
        "compensate": {"ask": staticmethod(coordinator.compensate), "scopes": (SHOP, OPS_ACT)},
        "retry": {"ask": staticmethod(coordinator.retry)},
        "skip": {"ask": staticmethod(coordinator.skip), "asked": InterventionWithReason},
    }
    return [
        *service_doors(coordinator),
        path(f"{below}/{coordinator.listed}", made(ListView, coordinator=coordinator)),
        path(f"{below}/<str:saga_id>", made(SagaView, coordinator=coordinator)),
        path(f"{below}/<str:saga_id>/status", made(StatusView, coordinator=coordinator)),
        *(
            path(
                f"{below}/<str:saga_id>/{name}",
                made(AskView, coordinator=coordinator, what=ASKS[name], **own),
            )
            for name, own in asks.items()
        ),
    ]


Found = TypeVar("Found", SagaState, SagaSummary)


def _owned(request: Request, found: Found) -> Found:
    """Raises Problem (404) if a service asks for a saga of another owner."""
    service = identity.of(request).service
    if service and (found.saga not in SAGAS or SAGAS[found.saga].owner != service):
        raise problems.unknown("saga", found.saga_id)
    return found


def _for_its_user(found: SagaState) -> SagaState:
    """The state without the data that services have sent each other."""
    events: Any = found.events
    if isinstance(events, list):
        events = [msgspec.structs.replace(event, data={}) for event in events]
    steps = [msgspec.structs.replace(step, response_data={}) for step in found.steps]
    return msgspec.structs.replace(found, steps=steps, events=events)


class _Named(msgspec.Struct):
    saga_id: str


class _Stated(msgspec.Struct):
    """The fields of an owner's problem."""

    status: int
    code: str = ""


def _accepted_by_owner(
    saga: str, fields: dict[str, Any], headers: dict[str, str], has_place: bool
) -> ServiceResponse:
    """Raises Problem (503). Gives this request's slot back if it has a place to wait: the owner may
    be slow, and the hand-overs that it makes here must not wait for a slot."""
    try:
        with slots.given_back(if_wanted=has_place):
            given = owners.accept(saga=saga, body=fields, headers=headers)
        _check_answer(given)
    except Unreachable as error:
        if _is_closed_for_now(error.answer):
            return cast(ServiceResponse, error.answer)
        owner = SAGAS[saga].owner
        raise problems.unavailable(f"{owner}, which accepts a {saga},") from error
    return given


def _is_closed_for_now(given: ServiceResponse | None) -> bool:
    """Whether the owner accepts no saga now, and says why: its answer is passed on."""
    try:
        return given is not None and given.decode(type=_Stated).code in _CLOSED_FOR_NOW
    except Unreachable:
        return False


def _check_answer(given: ServiceResponse) -> None:
    """Raises Unreachable if the answer is neither a saga nor a problem."""
    if given.status in (200, *_BEGUN):
        _saga_id_of(given)
    elif given.status < 400 or given.decode(type=_Stated).status != given.status:
        raise Unreachable(f"its owner answered {given.status}", status=given.status)


def _saga_id_of(given: ServiceResponse) -> str:
    """Raises Unreachable."""
    return cast(str, given.decode(type=_Named).saga_id)


@cache
def _waiters(service: str) -> Waiters:
    return Waiters(service=service, ended=partial(_ended_among, service))


def _ended_among(service: str, saga_ids: Sequence[str]) -> set[str]:
    statement = f"SELECT saga_id FROM {service}_saga WHERE saga_id = ANY(%s) AND status = ANY(%s)"
    rows = sql.execute(service=service, sql=statement, values=[list(saga_ids), list(FINAL)])
    return {row[0] for row in rows}
