"""The HTTP doors of a saga's owner that are alike for all: `urls` adds them to a service's own.

It accepts a saga: 202 once that is durable, or the saga's end, if the caller would rather wait for
it (`Prefer: wait=N`). It shows what it has accepted, and what can't be handed over.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypedDict

import msgspec
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, refusals
from contracts.bounds import MOST_ID, Id, Reason, Time, amount, words
from contracts.doors import OPS_ACT, OPS_READ, SHOP, View, declared, door, door_by
from contracts.outcomes import Done, Failure, Refused
from contracts.patterns import COORDINATORS, PATTERNS
from contracts.saga import ANSWERS, SAGAS, Answers
from contracts.states import Complaint, InterventionWithReason, SagaStatus
from coordination import admission, handover, pausing
from coordination.acceptance import (
    Accept,
    AcceptanceResult,
    Accepted,
    Owner,
    first_event,
    is_own_start,
    traceparent_of,
)
from coordination.handover import give
from coordination.models import AcceptedSaga
from coordination.owners import AcceptedState
from coordination.store import ENDED
from httpapi import identity, problems, slots, waiting
from httpapi.json import answer, fingerprint
from httpapi.steps import made
from httpapi.waiting import Waiters
from messaging import outbox, wakeups
from participant import barrier, failpoints, metrics, tracing, trail
from participant.batching import Batcher
from participant.executing import Executed, execute

SWEEP_SECONDS = 0.5
"""How often the ends of those sagas that somebody waits for are looked at without a wake-up."""
State = Callable[[str], dict[str, Any]]
"""What an owner says of a saga of its own, given its id."""


class Acceptance:
    """The way into one owner's sagas for commands that come on many threads."""

    def __init__(self, *, owner: Owner) -> None:
        self._owner = owner
        self._batcher = Batcher(
            service=owner.service,
            execute_batch=partial(
                execute, operation=owner.accept, in_same_transaction=self._settle
            ),
            # All who wait give theirs back, or the next leader would wait for one of them.
            waiting=slots.given_back,
        )
        self._waiters = Waiters(
            service=owner.service,
            ended=owner.sagas.ended_among,
            news=EndNews(service=owner.service),
        )
        wakeups.wake_by(service=owner.service, channel=ENDED, wake=self._waiters.wake)

    def accept(self, *, command: Accept) -> AcceptanceResult:
        """Accepts it. Once this returns, it is durable and will be started for certain.

        Raises Problem where it is refused: nothing of it is kept, it may be tried again, mended.
        """
        outcome = self._batcher.execute(command=command).outcome
        if isinstance(outcome, Refused):
            raise not_accepted(outcome, owner=self._owner)
        assert isinstance(outcome, Done)  # noqa: S101 -- an acceptance waits for nobody
        if not isinstance(outcome, Accepted):
            failpoints.reach("acceptance.known")
            # Its own id: a try before this one was committed, and its answer was lost.
            return AcceptanceResult(
                saga_id=outcome.data.get("repeats", command.saga_id), context=None
            )
        metrics.count(metrics.ACCEPTED, outcome.context.saga, outcome.context.pattern)
        give(owner=self._owner, context=outcome.context)
        failpoints.reach("acceptance.before_reply")
        return AcceptanceResult(
            saga_id=command.saga_id,
            context=outcome.context,
            told=outcome.data,
        )

    def wait(self, *, taken: AcceptanceResult, seconds: float) -> bool:
        """Whether it has ended within that time."""
        if not taken.is_new and self._owner.sagas.ended_among([taken.saga_id]):
            return True
        return self._waiters.wait(key=taken.saga_id, seconds=seconds)

    def _settle(self, executed: Sequence[Executed]) -> None:
        """What is refused, or repeats another, is no saga: it leaves nothing behind."""
        others = [
            result.command
            for result in executed
            if not isinstance(result.outcome, Done) or "repeats" in result.outcome.data
        ]
        barrier.forget(operation=self._owner.accept, commands=others)
        accepted = [
            result.outcome.context for result in executed if isinstance(result.outcome, Accepted)
        ]
        now = datetime.now(UTC)
        events = [
            first_event(context=context, now=now)
            for context in accepted
            if is_own_start(context.pattern)
        ]
        outbox.add(service=self._owner.service, events=events)


@dataclass(frozen=True, kw_only=True)
class EndNews:
    """What other processes of the service tell of the ends of its sagas."""

    service: str

    def begin(self) -> None:
        wakeups.listen(service=self.service)

    def wait(self) -> None:
        until = time.monotonic() + SWEEP_SECONDS
        while (left := until - time.monotonic()) > 0:
            if ENDED in wakeups.notified(service=self.service, seconds=left):
                return


def accepting(
    *,
    owner: Owner,
    door: str,
    saga: str,
    pattern: str,
    request: HttpRequest,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of an owner's command that do not depend on what the saga is about.

    `door`: as the pages name it, at which this was asked. `asked`: what the caller wants, with
    defaults spelled out: its fingerprint is that of the Idempotency-Key. Raises Problem: 400 for a
    saga that does not start at this door, or a pattern that there is not; 503 where it is paused,
    or more come than can be done.
    """
    known = [
        page.name for page in SAGAS.values() if (page.owner, page.door) == (owner.service, door)
    ]
    if saga not in known:
        raise problems.wrong_field("saga", f"one of {', '.join(known)} here; not {saga!r}")
    pattern = pattern or SAGAS[saga].pattern
    if pattern not in PATTERNS:
        raise problems.wrong_field("saga_pattern", f"one of {', '.join(PATTERNS)}; not {pattern!r}")
    key = problems.read_key(request)
    pausing.check(service=owner.service, saga=saga, pattern=pattern)
    admission.admit(owner=owner, saga=saga, pattern=pattern)
    saga_id = str(uuid.uuid4())
    traceparent = traceparent_of(header=request.headers.get("traceparent", ""))
    if tracing.is_on():
        traceparent = tracing.begin_request(
            name=f"POST {door}",
            header=request.headers.get("traceparent", ""),
            saga=saga,
            saga_id=saga_id,
            pattern=pattern,
        )
    wanted = {**asked, "saga_pattern": pattern} | ({"saga": saga} if saga != known[0] else {})
    return {
        "saga_id": saga_id,
        "saga": saga,
        "step": SAGAS[saga].steps[0].name,
        "saga_pattern": pattern,
        "traceparent": traceparent,
        "idempotency_key": key or "",
        "fingerprint": fingerprint(wanted) if key else "",
    }


def accept(
    *,
    acceptance: Acceptance,
    command: Any,
    request: HttpRequest,
    status_path: str,
    state: State,
    begun: int = 202,
) -> HttpResponse:
    """The answer: 202 (or `begun`) with how it begins, or 200 with its `state`, once it has ended.

    `status_path`: where it is looked at, with `{saga_id}`. Raises Problem for what is refused.
    """
    taken = acceptance.accept(command=command)
    url = str(request.build_absolute_uri(status_path.format(saga_id=taken.saga_id)))
    headers = {"Location": url} | ({} if taken.is_new else {"Idempotency-Replayed": "true"})
    seconds = waiting.seconds_of(prefer=request.headers.get("Prefer", ""))
    if seconds and acceptance.wait(taken=taken, seconds=seconds):
        return answer({**state(taken.saga_id), "status_url": url}, headers=headers)
    told = _begun(taken) if taken.is_new else state(taken.saga_id)
    return answer({**told, "status_url": url}, status=begun, headers=headers)


STARTS = ("Idempotency-Key", "Prefer", "traceparent")
"""The headers that mean something where a saga is asked for."""


def door_of(
    owner: Owner, *, takes: Any, begins: Any, shows: Any, begun: int = 202, **also: Any
) -> Callable[[View], View]:
    """Declares a view that accepts the owner's sagas. `begins`: how a new one is answered, `shows`:
    one that has ended, or that was known before. `also`: more fields of Declared.
    """
    return door(
        SHOP,
        takes=takes,
        gives={begun: (begins, shows), 200: shows},
        refuses=refusals_of([owner.accept.full_name]),
        headers=STARTS,
        **also,
    )


def refusals_of(accepting: Iterable[str]) -> dict[int, list[str]]:
    """Why any of these operations, which accept sagas, may refuse one, by status."""
    by_status: dict[int, list[str]] = {503: ["paused"]}
    for name in accepting:
        told = ANSWERS.get(name, Answers()).refuses
        for code in (*told, refusals.KEY_REUSED, refusals.TOO_MANY_UNDER_WAY):
            known = by_status.setdefault(_status_of(code, name), [])
            known += [code] if code not in known else []
    return by_status


def not_accepted(refused: Refused, *, owner: Owner) -> problems.Problem:
    """The answer to a saga that was refused."""
    return problems.refusal(refused, status=_status_of(refused.code, owner.accept.full_name))


def _status_of(code: str, accepting: str) -> int:
    known = ANSWERS.get(accepting, Answers()).statuses
    always = {refusals.KEY_REUSED: 422, refusals.TOO_MANY_UNDER_WAY: 429}
    return {**always, **known}.get(code, 409)


def _begun(taken: AcceptanceResult) -> dict[str, Any]:
    context = taken.context
    if context is None:
        raise AssertionError("it is known from before")
    return {
        "saga_id": taken.saga_id,
        "saga": context.saga,
        SAGAS[context.saga].subject: context.subject,
        **taken.told,
        "status": SagaStatus.PENDING,
        "saga_pattern": context.pattern,
    }


HANDED_OVER_SECONDS = 10
"""A hand-over is made at once; one that takes longer is not made."""


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
    """A saga that can't be handed over, and why; its subject under the name of its users, too."""

    dead_lettered_at: Time
    reason: str


class _OwnerView(APIView):
    """`below`: where the owner's doors for these are."""

    owner: Owner
    below: str

    def rows(self) -> Any:
        return self.owner.model._default_manager.annotate(answered_at=Now())

    def not_dead_lettered(self, saga_id: str) -> problems.Problem:
        if not self.rows().filter(pk=saga_id).exists():
            return problems.unknown("saga", saga_id)
        return problems.refusal(handover.NOT_DEAD_LETTERED)


class AcceptedView(_OwnerView):
    """Where a saga stands, as its owner knows it; its coordinator knows each step."""

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
    """What to pause or to resume: a saga in one pattern, or in all."""

    saga: Id
    saga_pattern: Annotated[str, msgspec.Meta(max_length=32)] = ""


class Pauses(TypedDict):
    """What is paused, the first one first."""

    pauses: list[pausing.PausedSaga]


class Resumed(TypedDict):
    """What is accepted again, as it was paused."""

    resumed: list[pausing.PausedSaga]


class PausesView(_OwnerView):
    """GET: what is paused. POST `{"saga", "saga_pattern", "reason", "requested_by"}`: accepts no
    more of a saga, in that pattern or (without one) in all; what runs goes on. DELETE: accepts a
    paused saga again; the same fields, in the query.
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
        own = [page.name for page in SAGAS.values() if page.owner == self.owner.service]
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
    """`below`: what the owner calls its sagas in paths: `checkouts`."""
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
    """The list's type: its sagas are under what the owner calls them."""
    fields = {view.below: list[DeadLetter], "next": str | None}
    return TypedDict(f"DeadLetter_{view.below}", fields)  # type: ignore[operator]


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
        user_id=found.user_id,
        status=SagaStatus(found.status),
        total_amount=None if found.total_amount is None else str(amount(found.total_amount)),
        failure=failure_of(found),
        accepted_at=found.accepted_at,
        ended_at=found.ended_at,
        answered_at=found.answered_at,
    )


def stalls(*, owner: Owner, limit: int) -> list[Complaint]:
    """Sagas that were accepted and that no coordinator was told of, by pattern: for /health."""
    patterns = [pattern.name for pattern in PATTERNS.values() if not pattern.starts_itself]
    found = owner.sagas.stalls(patterns=patterns, seconds=HANDED_OVER_SECONDS, limit=limit)
    return [
        Complaint(
            what=f"{late.number} {late.pattern} sagas are accepted and not handed over:"
            f" {', '.join(late.saga_ids)}",
            since=late.since,
            do="see the coordinator of this pattern and the worker of"
            f" {owner.service}; they are handed over by themselves then",
        )
        for late in found
    ]


def gauges(*, owner: Owner) -> dict[metrics.Key, float]:
    """By pattern, how many are accepted and not handed over, and since when the oldest: for
    /metrics. One that starts by itself is handed over some seconds later.
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
