"""An owner accepts sagas over HTTP, in the same way for all owners: it answers 202 once the saga is
durable, or the saga's state at its end, if the caller waits for that (`Prefer: wait=N`).

An owner's other doors are in `coordination.owner_doors`.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse

from contracts import refusals
from contracts.doors import SHOP, View, door
from contracts.outcomes import Done, Failure, Refused
from contracts.patterns import PATTERNS
from contracts.saga import ANSWERS, SAGAS, Answers
from contracts.states import SagaStatus
from coordination import admission, pausing
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
from coordination.store import ENDED
from httpapi import problems, slots, waiting
from httpapi.json import answer, fingerprint
from httpapi.waiting import Waiters
from messaging import outbox, wakeups
from participant import barrier, failpoints, metrics, tracing
from participant.batching import Batcher
from participant.executing import Executed, execute

SWEEP_SECONDS = 0.5
"""How often the sagas that requests wait for are checked without a wake-up."""
State = Callable[[str], dict[str, Any]]
"""An owner's answer about one of its sagas, given its id."""


class Acceptance:
    """Accepts sagas of one owner, for commands that come on many threads."""

    def __init__(self, *, owner: Owner) -> None:
        self._owner = owner
        self._batcher = Batcher(
            service=owner.service,
            execute_batch=partial(
                execute, operation=owner.accept, in_same_transaction=self._settle
            ),
            # All waiting requests give their slots back, or the next leader might wait for one.
            waiting=slots.given_back,
        )
        self._waiters = Waiters(
            service=owner.service,
            ended=owner.sagas.ended_among,
            news=EndNews(service=owner.service),
        )
        wakeups.wake_by(service=owner.service, channel=ENDED, wake=self._waiters.wake)

    def accept(self, *, command: Accept) -> AcceptanceResult:
        """Accepts a saga. Once this returns, the saga is durable and is guaranteed to start.

        Raises Problem if it is refused: nothing of it is stored, so a corrected request may follow.
        """
        outcome = self._batcher.execute(command=command).outcome
        if isinstance(outcome, Refused):
            raise not_accepted(outcome, owner=self._owner)
        assert isinstance(outcome, Done)  # noqa: S101 -- an acceptance never waits
        if not isinstance(outcome, Accepted):
            failpoints.reach("acceptance.known")
            # Its own id: an earlier try was committed, and its answer was lost.
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
        """Waits for the saga's end; whether it has ended within that time."""
        if not taken.is_new and self._owner.sagas.ended_among([taken.saga_id]):
            return True
        return self._waiters.wait(key=taken.saga_id, seconds=seconds)

    def _settle(self, executed: Sequence[Executed]) -> None:
        """Adds the first events; forgets the commands that are refused or repeat another saga."""
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
    """Wake-ups from other processes of the service about the ends of its sagas."""

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
    """The fields of an owner's command that are the same for all owners.

    `door`: the path of this request, as in the sagas' definitions. `asked`: the request, with
    defaults filled in; the Idempotency-Key belongs to its fingerprint. Raises Problem: 400 for a
    saga that does not start at this door, or an unknown pattern; 503 if the saga is paused, or more
    sagas come than can be done.
    """
    known = [
        known.name for known in SAGAS.values() if (known.owner, known.door) == (owner.service, door)
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
    """The answer: 202 (or `begun`) with the new saga, or 200 with its `state`, once it has ended.

    `status_path`: of the saga's state, with `{saga_id}`. Raises Problem for a refusal.
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
"""The headers that a door that starts sagas reads."""


def door_of(
    owner: Owner, *, takes: Any, begins: Any, shows: Any, begun: int = 202, **also: Any
) -> Callable[[View], View]:
    """Declares a view that accepts the owner's sagas. `begins`: the type of the answer for a new
    saga, `shows`: for a saga that has ended or was known before. `also`: more fields of Declared.
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
    """By status, the codes with which these operations, which accept sagas, may refuse."""
    by_status: dict[int, list[str]] = {503: ["paused"]}
    for name in accepting:
        own = ANSWERS.get(name, Answers()).refuses
        for code in (*own, refusals.KEY_REUSED, refusals.TOO_MANY_UNDER_WAY):
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
        raise AssertionError("the saga is not new")
    return {
        "saga_id": taken.saga_id,
        "saga": context.saga,
        SAGAS[context.saga].subject: context.subject,
        **taken.told,
        "status": SagaStatus.PENDING,
        "saga_pattern": context.pattern,
    }


def failure_of(found: AcceptedSaga) -> Failure | None:
    """Why the saga ended without success; None if it did not."""
    if not found.failure_code:
        return None
    return Failure(
        found.failure_step,
        found.failure_code,
        found.failure_detail,
        undone=found.status == SagaStatus.COMPENSATED,
    )
