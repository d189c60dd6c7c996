"""The way into a saga's owner over HTTP, alike for all owners: it accepts a saga. 202 once that is
durable, or the saga's end, if the caller would rather wait for it (`Prefer: wait=N`).

What else an owner shows of its sagas, and operators do there, is `coordination.owner_doors`.
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
