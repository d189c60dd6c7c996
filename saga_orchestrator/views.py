"""The HTTP door of the orchestrator. No decisions here."""

from collections.abc import Callable, Sequence

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts.commands import Checkout
from contracts.outcomes import Refused
from contracts.states import SagaState, SagaSummary
from contracts.statuses import Pattern, SagaStatus
from httpapi import coordinator, pages, problems
from httpapi.json import answer
from saga_orchestrator import checkout, operations, queries, serializers
from saga_orchestrator.operations import SERVICE, UnknownSaga


class CheckoutView(coordinator.CheckoutView):
    service = SERVICE
    patterns = (Pattern.ORCHESTRATED.value, Pattern.ORCHESTRATED_MESSAGING.value)
    saga_path = "/saga/{saga_id}"
    first_status = SagaStatus.PENDING

    def start(self, *, checkouts: Sequence[Checkout]) -> None:
        checkout.start(checkouts=checkouts)


class SagaView(APIView):
    """Where a saga stands, step by step."""

    def get(self, request: Request, saga_id: str) -> HttpResponse:
        return answer(_state(saga_id))


class SagaStatusView(APIView):
    """Where a saga stands, in short."""

    def get(self, request: Request, saga_id: str) -> HttpResponse:
        return answer(_summary(saga_id))


class TransactionsView(APIView):
    """All sagas, newest first, in pages; of one status or pattern if asked."""

    def get(self, request: Request) -> HttpResponse:
        asked = serializers.TransactionFilter(data=request.query_params)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        page = pages.page(
            request=request,
            found=queries.sagas(
                status=wanted.get("status", ""), saga_pattern=wanted.get("saga_pattern", "")
            ),
            wanted=msgspec.convert(wanted, pages.Wanted),
        )
        return answer(page.answer(results=[queries.summary(found=one) for one in page.rows]))


class CompensateView(APIView):
    """POST: stops a running saga and undoes it, or returns a completed one: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        asked = msgspec.convert(request.data or {}, serializers.Intervention)
        return _intervene(operations.compensate, saga_id, asked)


class RetryView(APIView):
    """POST: tries the call of a parked saga again: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        asked = msgspec.convert(request.data or {}, serializers.Intervention)
        return _intervene(operations.retry, saga_id, asked)


class SkipView(APIView):
    """POST with a reason: goes on without the call of a parked saga: 202, or 409."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        asked = msgspec.convert(request.data or {}, serializers.Skip)
        return _intervene(operations.skip, saga_id, asked)


def _state(saga_id: str) -> SagaState:
    return _known(saga_id) or coordinator.state_at_carrito(
        saga_id=saga_id, patterns=CheckoutView.patterns, look_again=lambda: _known(saga_id)
    )


def _known(saga_id: str) -> SagaState | None:
    found = queries.saga(saga_id=saga_id)
    return queries.state(found=found) if found else None


def _summary(saga_id: str) -> SagaSummary:
    found = queries.saga(saga_id=saga_id)
    if found:
        return queries.summary(found=found)
    return coordinator.summary_of(state=_state(saga_id))


def _intervene(
    act: Callable[..., Refused | None],
    saga_id: str,
    asked: serializers.Intervention | serializers.Skip,
) -> HttpResponse:
    try:
        refused = act(saga_id=saga_id, requested_by=asked.requested_by, reason=asked.reason)
    except UnknownSaga:
        raise problems.refusal(coordinator.not_here(state=_state(saga_id))) from None
    if refused:
        raise problems.refusal(refused)
    return answer(_summary(saga_id), status=202)
