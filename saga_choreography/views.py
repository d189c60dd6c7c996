"""The HTTP door of the choreography. No decisions here."""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import refusals
from contracts.commands import Checkout
from contracts.outcomes import Refused
from contracts.states import SagaState
from contracts.statuses import Pattern, SagaStatus
from httpapi import coordinator, pages, problems
from httpapi.json import answer
from saga_choreography import checkout, operations, queries, serializers, trail
from saga_choreography.checkout import SERVICE
from saga_choreography.models import Action, Saga
from sagas import points

PATTERNS = (Pattern.CHOREOGRAPHED,)


class CheckoutView(coordinator.CheckoutView):
    """POST starts checkouts: handed over by carrito, or a shopper's, by way of carrito."""

    service = SERVICE
    patterns = PATTERNS
    saga_path = "/saga/choreography/{saga_id}"
    first_status = SagaStatus.RUNNING

    def start(self, *, checkouts: Sequence[Checkout]) -> None:
        with transaction.atomic(using=SERVICE):
            checkout.start(checkouts=checkouts, now=trail.now())
            points.reach("choreography.before_start")
        points.reach("choreography.started")


class SagaView(APIView):
    """Where a saga stands, step by step, with its trail."""

    def get(self, request: Request, saga_id: str) -> HttpResponse:
        return answer(_known(saga_id) or _at_carrito(saga_id))


class SagaStatusView(APIView):
    """Where a saga stands, in short."""

    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = queries.saga(saga_id=saga_id)
        if found:
            return answer(queries.summaries(found=[found])[0])
        return answer(coordinator.summary_of(state=_at_carrito(saga_id)))


class SagasView(APIView):
    """All sagas, newest first, in pages; of one status if asked."""

    def get(self, request: Request) -> HttpResponse:
        asked = {key: str(value) for key, value in request.query_params.items() if value}
        wanted = msgspec.convert(asked, serializers.Listing, strict=False)
        found = queries.sagas(status=wanted.status)
        where = msgspec.convert(wanted, pages.Wanted, from_attributes=True)
        page = pages.page(request=request, found=found, wanted=where)
        return answer(page.answer(results=queries.summaries(found=page.rows)))


class CompensateView(APIView):
    """POST asks for an abort, or for the return of what is completed: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        return _asked(request, saga_id, operations.compensate)


class RetryView(APIView):
    """POST nudges a saga that stands still, parked or not: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        return _asked(request, saga_id, operations.retry)


class SkipView(APIView):
    """POST with a reason: goes on without what a parked saga waits for: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        return _asked(request, saga_id, operations.skip, asks=serializers.Skip)


def _asked(
    request: Request,
    saga_id: str,
    operation: Callable[..., Action | Refused | None],
    asks: type[serializers.Request | serializers.Skip] = serializers.Request,
) -> HttpResponse:
    wanted = msgspec.convert(request.data or {}, asks)
    try:
        outcome = _act(operation, saga_id, wanted)
        if _is_past_pivot(outcome) and _is_sold(saga_id):
            # It went on while we looked: carrito knows, and tracking will in a moment.
            outcome = _act(partial(operations.compensate, is_sold=True), saga_id, wanted)
    except Saga.DoesNotExist:
        state = _at_carrito(saga_id)
        raise problems.refusal(coordinator.not_here(state=state)) from None
    if isinstance(outcome, Refused):
        raise problems.refusal(outcome)
    url = request.build_absolute_uri(f"/saga/choreography/{saga_id}")
    return answer(
        queries.summaries(found=[Saga.objects.get(pk=saga_id)])[0],
        status=202,
        headers={"Location": url},
    )


def _act(
    operation: Callable[..., Action | Refused | None],
    saga_id: str,
    wanted: serializers.Request | serializers.Skip,
) -> Action | Refused | None:
    with transaction.atomic(using=SERVICE):
        outcome = operation(
            saga_id=saga_id,
            requested_by=wanted.requested_by,
            reason=wanted.reason,
            now=trail.now(),
        )
        points.reach("asking.before_commit")
    points.reach("asking.before_reply")
    return outcome


def _is_past_pivot(outcome: Action | Refused | None) -> bool:
    return isinstance(outcome, Refused) and outcome.code == refusals.PAST_PIVOT


def _is_sold(saga_id: str) -> bool:
    """Whether carrito says that it is completed; False where it can't be asked."""
    try:
        found = coordinator.state_at_carrito(
            saga_id=saga_id, patterns=PATTERNS, look_again=lambda: None
        )
    except problems.Problem:
        return False
    return found.status is SagaStatus.COMPLETED


def _known(saga_id: str) -> SagaState | None:
    found = queries.saga(saga_id=saga_id)
    return queries.state(found=found) if found else None


def _at_carrito(saga_id: str) -> SagaState:
    state = coordinator.state_at_carrito(
        saga_id=saga_id, patterns=PATTERNS, look_again=lambda: _known(saga_id)
    )
    return msgspec.structs.replace(state, events=state.events or [])
