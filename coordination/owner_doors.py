"""The other doors of an owner, the same for all owners: coordinators read a saga's state; operators
see sagas that can't be handed over, and pause sagas. Also the owner's part of /health and /metrics.
"""

from typing import Annotated, Any, TypedDict

import msgspec
from django.db.models.functions import Now
from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, refusals
from contracts.bounds import MOST_ID, Id, Reason, Time, amount, words
from contracts.doors import OPS_ACT, OPS_READ, declared, door, door_by
from contracts.outcomes import Refused
from contracts.patterns import COORDINATORS, PATTERNS
from contracts.saga import SAGAS
from contracts.states import Complaint, InterventionWithReason, SagaStatus
from coordination import handover, pausing
from coordination.acceptance import Owner
from coordination.owner_views import failure_of
from coordination.owners import AcceptedState
from httpapi import identity, problems
from httpapi.json import answer
from httpapi.steps import made
from participant import metrics, trail

HANDED_OVER_SECONDS = 10
"""Hand-overs are made at once: after this time a saga counts as not handed over."""


class _After(msgspec.Struct, frozen=True):
    after: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class _Reason(msgspec.Struct, frozen=True):
    reason: Reason = ""


class Acted(TypedDict):
    """What was done to a saga."""

    saga_id: str
    action: Annotated[str, words(("retry", "discard"))]


class DeadLetter(AcceptedState, frozen=True, kw_only=True):
    """A saga that can't be handed over, and why; its subject also under its users' name."""

    dead_lettered_at: Time
    reason: str


class _OwnerView(APIView):
    """`below`: the path of the owner's sagas."""

    owner: Owner
    below: str

    def rows(self) -> Any:
        return self.owner.model._default_manager.annotate(answered_at=Now())

    def not_dead_lettered(self, saga_id: str) -> problems.Problem:
        if not self.rows().filter(pk=saga_id).exists():
            return problems.unknown("saga", saga_id)
        return problems.refusal(handover.NOT_DEAD_LETTERED)


class AcceptedView(_OwnerView):
    """The state of a saga at its owner; its coordinator has the steps."""

    @door(callers=COORDINATORS, gives={200: AcceptedState})
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = self.rows().filter(pk=saga_id).first()
        if found is None:
            raise problems.unknown("saga", saga_id)
        return answer(accepted_state(found))


class DeadLettersView(_OwnerView):
    """The sagas that can't be handed over, each with its reason: `?after=&limit=`."""

    @door_by(lambda view, path: declared(OPS_READ, takes=_After, gives={200: _list_of(view)}))
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, _After)
        waiting = self.rows().filter(dead_lettered_at__isnull=False, saga_id__gt=asked.after)
        found = list(waiting.order_by("saga_id")[: asked.limit])
        where = f"/{self.below}/dead-letters?after={found[-1].pk if found else ''}"
        return answer(
            {
                self.below: [_dead_letter(row) for row in found],
                "next": f"{where}&limit={asked.limit}" if len(found) == asked.limit else None,
            }
        )


class RetryHandoverView(_OwnerView):
    """POST `{"reason"}`: a dead-lettered saga is handed over again, from the start."""

    @door(OPS_ACT, takes=_Reason, gives={202: Acted}, refuses={409: (refusals.NOT_DEAD_LETTERED,)})
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        trail.because(msgspec.convert(request.data or {}, _Reason).reason)
        if not handover.retry(owner=self.owner, saga_ids=[saga_id]):
            raise self.not_dead_lettered(saga_id)
        return answer({"saga_id": saga_id, "action": "retry"}, status=202)


class DiscardView(_OwnerView):
    """POST `{"reason"}`: a dead-lettered saga ends without success."""

    @door(OPS_ACT, takes=_Reason, gives={200: Acted}, refuses={409: (refusals.NOT_DEAD_LETTERED,)})
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        reason = msgspec.convert(request.data or {}, _Reason).reason
        trail.because(reason)
        if not handover.discard(owner=self.owner, saga_ids=[saga_id], reason=reason):
            raise self.not_dead_lettered(saga_id)
        return answer({"saga_id": saga_id, "action": "discard"})


class _Pausing(InterventionWithReason, frozen=True, kw_only=True):
    """What to pause or resume: a saga in one pattern, or in all."""

    saga: Id
    saga_pattern: Annotated[str, msgspec.Meta(max_length=32)] = ""


class Pauses(TypedDict):
    """The paused sagas, the first pause first."""

    pauses: list[pausing.PausedSaga]


class Resumed(TypedDict):
    """The sagas that are accepted again, with their pauses."""

    resumed: list[pausing.PausedSaga]


class PausesView(_OwnerView):
    """GET: the paused sagas. POST `{"saga", "saga_pattern", "reason", "requested_by"}`: pauses a
    saga, in that pattern or (without one) in all; running sagas go on. DELETE: resumes a paused
    saga; the same fields, in the query.
    """

    @door(OPS_READ, gives={200: Pauses})
    def get(self, request: Request) -> HttpResponse:
        return answer({"pauses": pausing.in_force(service=self.owner.service)})

    @door(
        OPS_ACT,
        takes=_Pausing,
        gives={201: pausing.PausedSaga},
        refuses={409: (refusals.ALREADY_PAUSED,)},
    )
    def post(self, request: Request) -> HttpResponse:
        done = pausing.pause(**self._asked(request, problems.read(request.data or {}, _Pausing)))
        if isinstance(done, Refused):
            raise problems.refusal(done)
        return answer(done, status=201)

    @door(OPS_ACT, takes=_Pausing, gives={200: Resumed}, refuses={409: (refusals.NOT_PAUSED,)})
    def delete(self, request: Request) -> HttpResponse:
        done = pausing.resume(
            **self._asked(request, bounds.of_query(request.query_params, _Pausing))
        )
        if isinstance(done, Refused):
            raise problems.refusal(done)
        return answer({"resumed": done})

    def _asked(self, request: Request, asked: _Pausing) -> dict[str, str]:
        own = [saga.name for saga in SAGAS.values() if saga.owner == self.owner.service]
        if asked.saga not in own:
            raise problems.wrong_field("saga", f"one of {', '.join(own)} here; not {asked.saga!r}")
        if asked.saga_pattern not in ("", *PATTERNS):
            message = f"one of {', '.join(PATTERNS)}, or none for all; not {asked.saga_pattern!r}"
            raise problems.wrong_field("saga_pattern", message)
        return {
            "service": self.owner.service,
            "saga": asked.saga,
            "pattern": asked.saga_pattern,
            "by": identity.of(request).named(
                asked.requested_by, field="requested_by", otherwise="api"
            ),
            "reason": asked.reason,
        }


def urls(*, owner: Owner, below: str) -> list[URLPattern]:
    """`below`: the owner's name for its sagas in paths: `checkouts`."""
    return [
        path(
            f"{owner.service}/accepted/<str:saga_id>", made(AcceptedView, owner=owner, below=below)
        ),
        path(f"{owner.service}/pauses", made(PausesView, owner=owner, below=below)),
        path(f"{below}/dead-letters", made(DeadLettersView, owner=owner, below=below)),
        path(f"{below}/<str:saga_id>/retry", made(RetryHandoverView, owner=owner, below=below)),
        path(f"{below}/<str:saga_id>/discard", made(DiscardView, owner=owner, below=below)),
    ]


def _list_of(view: type[_OwnerView]) -> Any:
    """The list's type: its sagas are under the owner's name for them."""
    fields = {view.below: list[DeadLetter], "next": str | None}
    return TypedDict(f"DeadLetter_{view.below}", fields)  # type: ignore[operator]


def accepted_state(found: Any) -> AcceptedState:
    """An owner's row (an AcceptedSaga, with `answered_at`), as coordinators read it."""
    context = found.context if isinstance(found.context, dict) else {}
    return AcceptedState(
        saga=found.saga,
        saga_id=found.saga_id,
        saga_pattern=found.saga_pattern,
        subject=str(context.get("subject", "unknown")),
        user_id=found.user_id,
        status=SagaStatus(found.status),
        total_amount=None if found.total_amount is None else str(amount(found.total_amount)),
        failure=failure_of(found),
        accepted_at=found.accepted_at,
        ended_at=found.ended_at,
        answered_at=found.answered_at,
    )


def stalls(*, owner: Owner, limit: int) -> list[Complaint]:
    """Sagas that were accepted and not handed over, by pattern: for /health."""
    patterns = [pattern.name for pattern in PATTERNS.values() if not pattern.starts_itself]
    found = owner.sagas.stalls(patterns=patterns, seconds=HANDED_OVER_SECONDS, limit=limit)
    return [
        Complaint(
            what=f"{late.number} {late.pattern} sagas are accepted and not handed over:"
            f" {', '.join(late.saga_ids)}",
            since=late.since,
            do="look at the coordinator of this pattern and the worker of"
            f" {owner.service}; they are handed over by themselves then",
        )
        for late in found
    ]


def gauges(*, owner: Owner) -> dict[metrics.Key, float]:
    """By pattern, how many sagas are accepted and not handed over, and the age of the oldest: for
    /metrics. A saga that starts by itself is handed over after some seconds.
    """
    found: dict[metrics.Key, float] = {}
    for pattern in PATTERNS:
        found[metrics.ACCEPTED_ONLY.name, pattern] = 0
        found[metrics.OLDEST_ACCEPTED_ONLY.name, pattern] = 0
    for pattern, number, seconds in owner.sagas.unknown(patterns=list(PATTERNS)):
        found[metrics.ACCEPTED_ONLY.name, pattern] = number
        found[metrics.OLDEST_ACCEPTED_ONLY.name, pattern] = seconds
    return found


def _dead_letter(found: Any) -> dict[str, object]:
    subject = SAGAS[found.saga].subject if found.saga in SAGAS else "subject"
    state = accepted_state(found)
    return {
        **msgspec.structs.asdict(state),
        subject: state.subject,
        "dead_lettered_at": found.dead_lettered_at,
        "reason": found.dead_letter_reason,
    }
