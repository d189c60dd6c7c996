"""The HTTP door by which an owner accepts a saga: 202 once it is durable, or its end, if the caller
would rather wait for that (`Prefer: wait=N`).
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from contracts import refusals
from contracts.catalogue import SAGAS
from contracts.outcomes import Refused
from contracts.patterns import PATTERNS
from contracts.statuses import SagaStatus
from coordination.acceptance import (
    Accept,
    Accepted,
    NotAccepted,
    Owner,
    Taken,
    first_event,
    is_own_start,
    traceparent_of,
)
from coordination.handover import give
from httpapi import problems, waiting
from httpapi.idempotency import fingerprint, key_of
from httpapi.json import answer
from httpapi.waiting import Waiters
from messaging import outbox
from participant import barrier, points
from participant.gathering import Gathering
from participant.performing import Performed, perform

State = Callable[[str], dict[str, Any]]
"""What an owner says of a saga of its own, given its id."""
_STATUS_OF_REFUSAL = {
    refusals.UNKNOWN_CART: 404,
    refusals.EMPTY_CART: 400,
    refusals.KEY_REUSED: 422,
}
"""Any other refusal is a 409."""


class Acceptance:
    """The way into one owner's sagas for commands that come on many threads."""

    def __init__(self, *, owner: Owner) -> None:
        self._owner = owner
        self._gathering = Gathering(
            service=owner.service,
            together=partial(perform, operation=owner.accept, also=self._also),
        )
        self._waiters = Waiters(service=owner.service, ended=owner.sagas.ended_among)

    def accept(self, *, command: Accept) -> Taken:
        """Accepts it. Once this returns, it is durable and will be started for certain.

        Raises NotAccepted.
        """
        outcome = self._gathering.perform(command=command).outcome
        if isinstance(outcome, Refused):
            raise NotAccepted(outcome)
        if not isinstance(outcome, Accepted):
            points.reach("acceptance.known")
            # Its own id: a try before this one was committed, and its answer was lost.
            return Taken(saga_id=outcome.data.get("repeats", command.saga_id), context=None)
        give(owner=self._owner, context=outcome.context)
        points.reach("acceptance.before_reply")
        return Taken(
            saga_id=command.saga_id,
            context=outcome.context,
            total_amount=outcome.data.get("total_amount"),
        )

    def wait(self, *, saga_id: str, seconds: float) -> bool:
        """Whether it has ended within that time."""
        return self._waiters.wait(key=saga_id, seconds=seconds)

    def _also(self, performed: Sequence[Performed]) -> None:
        """What is refused, or repeats another, is no saga: it leaves nothing behind."""
        others = [
            one.command
            for one in performed
            if isinstance(one.outcome, Refused) or "repeats" in one.outcome.data
        ]
        barrier.forget(operation=self._owner.accept, commands=others)
        accepted = [one.outcome.context for one in performed if isinstance(one.outcome, Accepted)]
        now = datetime.now(UTC)
        said = [first_event(context=one, now=now) for one in accepted if is_own_start(one.pattern)]
        outbox.add(service=self._owner.service, said=said)


def accepting(
    *, owner: Owner, saga: str, pattern: str, request: Request, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of an owner's command that do not depend on what the saga is about.

    `asked`: what the caller wants, with defaults spelled out: its fingerprint is that of the
    Idempotency-Key, at whichever door. Raises Problem (400) for a saga that is not this owner's, or
    a pattern that there is not.
    """
    known = [page.name for page in SAGAS.values() if page.owner == owner.service]
    if saga not in known:
        raise problems.wrong_field("saga", f"one of {', '.join(known)}; not {saga!r}")
    pattern = pattern or SAGAS[saga].pattern
    if pattern not in PATTERNS:
        raise problems.wrong_field("saga_pattern", f"one of {', '.join(PATTERNS)}; not {pattern!r}")
    key = key_of(request)
    wanted = {**asked, "saga_pattern": pattern} | ({"saga": saga} if saga != known[0] else {})
    return {
        "saga_id": str(uuid.uuid4()),
        "saga": saga,
        "step": SAGAS[saga].steps[0].name,
        "saga_pattern": pattern,
        "traceparent": traceparent_of(header=request.headers.get("traceparent", "")),
        "idempotency_key": key or "",
        "fingerprint": fingerprint(wanted) if key else "",
    }


def accept(
    *, acceptance: Acceptance, command: Any, request: Request, status_path: str, state: State
) -> HttpResponse:
    """The answer: 202 with how it begins, or 200 with its `state`, once it has ended.

    `status_path`: where it is looked at, with `{saga_id}`. Raises Problem for what is refused.
    """
    try:
        taken = acceptance.accept(command=command)
    except NotAccepted as error:
        raise not_accepted(error=error) from error
    url = str(request.build_absolute_uri(status_path.format(saga_id=taken.saga_id)))
    headers = {"Location": url} | ({} if taken.is_new else {"Idempotency-Replayed": "true"})
    seconds = waiting.seconds_of(prefer=request.headers.get("Prefer", ""))
    if seconds and acceptance.wait(saga_id=taken.saga_id, seconds=seconds):
        return answer({**state(taken.saga_id), "status_url": url}, headers=headers)
    told = _begun(taken) if taken.is_new else state(taken.saga_id)
    return answer({**told, "status_url": url}, status=202, headers=headers)


def not_accepted(*, error: NotAccepted) -> problems.Problem:
    """The answer to a saga that was refused."""
    status = _STATUS_OF_REFUSAL.get(error.refused.code, 409)
    return problems.refusal(error.refused, status=status)


def _begun(taken: Taken) -> dict[str, Any]:
    context = taken.context
    if context is None:
        raise AssertionError("it is known from before")
    return {
        "saga_id": taken.saga_id,
        "saga": context.saga,
        SAGAS[context.saga].subject: context.subject,
        "total_amount": taken.total_amount,
        "status": SagaStatus.PENDING,
        "saga_pattern": context.pattern,
    }
