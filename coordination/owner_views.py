"""The HTTP doors of a saga's owner that are alike for all: what it has accepted, and what can't be
handed over. `urls` adds them to a service's own.
"""

from typing import Annotated, Any

import msgspec
from django.db.models.functions import Now
from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import refusals
from contracts.bounds import MOST_ID, Reason
from contracts.catalogue import SAGAS
from contracts.money import amount
from contracts.outcomes import Failure, Refused
from contracts.patterns import PATTERNS
from contracts.states import Complaint
from contracts.statuses import SagaStatus
from coordination import handover
from coordination.acceptance import Owner
from coordination.models import AcceptedSaga
from coordination.owners import AcceptedState
from httpapi import problems
from httpapi.json import answer
from httpapi.steps import made

HANDED_OVER_SECONDS = 10
"""A hand-over is made at once; one that takes longer is not made."""


class _After(msgspec.Struct, frozen=True):
    after: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class _Reason(msgspec.Struct, frozen=True):
    reason: Reason = ""


class _OwnerView(APIView):
    """`below`: where the owner's doors for these are."""

    owner: Owner
    below: str

    def rows(self) -> Any:
        return self.owner.model._default_manager.annotate(answered_at=Now())

    def not_set_aside(self, saga_id: str) -> problems.Problem:
        if not self.rows().filter(pk=saga_id).exists():
            return problems.unknown("saga", saga_id)
        detail = "This saga is not set aside, or it runs by itself: it goes its way."
        return problems.refusal(Refused(refusals.NOT_SET_ASIDE, detail))


class AcceptedView(_OwnerView):
    """Where a saga stands, as its owner knows it; its coordinator knows each step."""

    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = self.rows().filter(pk=saga_id).first()
        if found is None:
            raise problems.unknown("saga", saga_id)
        return answer(accepted_state(found))


class SetAsideView(_OwnerView):
    """The sagas that can't be handed over, each with its reason: `?after=&limit=`."""

    def get(self, request: Request) -> HttpResponse:
        asked = msgspec.convert(request.query_params.dict(), _After, strict=False)
        waiting = self.rows().filter(set_aside_at__isnull=False, saga_id__gt=asked.after)
        found = list(waiting.order_by("saga_id")[: asked.limit])
        where = f"/{self.below}/set-aside?after={found[-1].pk if found else ''}"
        return answer(
            {
                self.below: [_set_aside(one) for one in found],
                "next": f"{where}&limit={asked.limit}" if len(found) == asked.limit else None,
            }
        )


class RetryHandoverView(_OwnerView):
    """POST: a saga that was set aside is handed over again, from the start."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        if not handover.retry(owner=self.owner, saga_ids=[saga_id]):
            raise self.not_set_aside(saga_id)
        return answer({"saga_id": saga_id, "action": "retry"}, status=202)


class DiscardView(_OwnerView):
    """POST `{"reason"}`: a saga that was set aside ends without success."""

    def post(self, request: Request, saga_id: str) -> HttpResponse:
        reason = msgspec.convert(request.data or {}, _Reason).reason
        if not handover.discard(owner=self.owner, saga_ids=[saga_id], reason=reason):
            raise self.not_set_aside(saga_id)
        return answer({"saga_id": saga_id, "action": "discard"})


def urls(*, owner: Owner, below: str) -> list[URLPattern]:
    """`below`: what the owner calls its sagas in paths: `checkouts`."""
    return [
        path(
            f"{owner.service}/accepted/<str:saga_id>", made(AcceptedView, owner=owner, below=below)
        ),
        path(f"{below}/set-aside", made(SetAsideView, owner=owner, below=below)),
        path(f"{below}/<str:saga_id>/retry", made(RetryHandoverView, owner=owner, below=below)),
        path(f"{below}/<str:saga_id>/discard", made(DiscardView, owner=owner, below=below)),
    ]


def failure_of(found: AcceptedSaga) -> Failure | None:
    """Why it ended without success."""
    if not found.failure_code:
        return None
    return Failure(
        found.failure_step,
        found.failure_code,
        found.failure_detail,
        undone=found.status == SagaStatus.COMPENSATED,
    )


def accepted_state(found: Any) -> AcceptedState:
    """An owner's row (an AcceptedSaga, with when it was read), as coordinators read it."""
    context = found.context if isinstance(found.context, dict) else {}
    return AcceptedState(
        saga=found.saga,
        saga_id=found.saga_id,
        saga_pattern=found.saga_pattern,
        subject=str(context.get("subject", "unknown")),
        status=SagaStatus(found.status),
        total_amount=None if found.total_amount is None else str(amount(found.total_amount)),
        failure=failure_of(found),
        accepted_at=found.accepted_at,
        ended_at=found.ended_at,
        answered_at=found.answered_at,
    )


def stalls(*, owner: Owner, limit: int) -> list[Complaint]:
    """Sagas that were accepted and that no coordinator was told of, by pattern: for /health."""
    patterns = [one.name for one in PATTERNS.values() if not one.starts_itself]
    found = owner.sagas.stalls(patterns=patterns, seconds=HANDED_OVER_SECONDS, limit=limit)
    return [
        Complaint(
            what=f"{one.number} {one.pattern} sagas are accepted and not handed over:"
            f" {', '.join(one.saga_ids)}",
            since=one.since,
            do="see the coordinator of this pattern and the worker of"
            f" {owner.service}; they are handed over by themselves then",
        )
        for one in found
    ]


def _set_aside(found: Any) -> dict[str, object]:
    subject = SAGAS[found.saga].subject if found.saga in SAGAS else "subject"
    state = accepted_state(found)
    return {
        **msgspec.structs.asdict(state),
        subject: state.subject,
        "set_aside_at": found.set_aside_at,
        "reason": found.set_aside_reason,
    }
