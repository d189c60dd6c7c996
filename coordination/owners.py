"""What a coordinator asks a saga's owner: to accept one, and how one stands that it lacks."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import quote, urlsplit

import msgspec
from django.conf import settings

from contracts import refusals
from contracts.outcomes import Failure, Refused
from contracts.saga import SAGAS
from contracts.states import SagaState, SagaStatus, SagaSummary, StepState, StepStatus
from coordination.acceptance import is_own_start
from httpapi import problems, waiting
from httpapi.client import Client, ServiceResponse, Unreachable
from participant.barrier import keep_seconds

OWNER_SECONDS = 10.0
"""For an owner to accept a saga, or to say how one stands."""
ON_ITS_WAY_SECONDS = 60.0
"""A coordinator knows by then a saga that starts by itself, if it ever will."""


class AcceptedState(msgspec.Struct, frozen=True, kw_only=True):
    """A saga as its owner answers it. `user_id`: whose it is. `answered_at`: by the same clock as
    the other times.
    """

    saga: str
    saga_id: str
    saga_pattern: str
    subject: str
    user_id: str = ""
    status: SagaStatus
    total_amount: str | None
    failure: Failure | None
    accepted_at: datetime
    ended_at: datetime | None
    answered_at: datetime

    def state(self) -> SagaState:
        """As a coordinator would answer it that does not know it yet, or any more.

        One that starts by itself, and has just ended, has its events on their way: it would be
        running again when the first of them arrives. It is pending until then.
        """
        is_on_its_way = is_own_start(self.saga_pattern) and self._has_just_ended()
        status = self.status
        if is_on_its_way or not status.is_final:
            status = SagaStatus.PENDING
        return SagaState(
            saga=self.saga,
            saga_id=self.saga_id,
            saga_pattern=self.saga_pattern,
            status=status,
            current_step=None,
            subject=self.subject,
            total_amount=self.total_amount,
            started_at=self.accepted_at,
            finished_at=None if status is SagaStatus.PENDING else self.ended_at,
            failure=None if status is SagaStatus.PENDING else self.failure,
            steps=list(self._steps(status)),
            events=[] if is_own_start(self.saga_pattern) else msgspec.UNSET,
        )

    def _has_just_ended(self) -> bool:
        if self.ended_at is None:
            return False
        return self.answered_at - self.ended_at < timedelta(seconds=ON_ITS_WAY_SECONDS)

    def _steps(self, status: SagaStatus) -> Iterator[StepState]:
        is_pending = status is SagaStatus.PENDING
        for position, step in enumerate(SAGAS[self.saga].steps if self.saga in SAGAS else ()):
            if status is SagaStatus.COMPLETED:
                yield StepState(step_name=step.name, status=StepStatus.COMPLETED)
            elif position == 0:
                yield StepState(
                    step_name=step.name,
                    status=StepStatus.COMPLETED if is_pending else StepStatus.COMPENSATED,
                    finished_at=self.accepted_at if is_pending else self.ended_at,
                )
            elif self.failure and self.failure.step == step.name:
                error = f"{self.failure.code}: {self.failure.detail}"
                yield StepState(step_name=step.name, status=StepStatus.FAILED, error=error)
            else:
                known = StepStatus.PENDING if is_pending else StepStatus.SKIPPED
                yield StepState(step_name=step.name, status=known)


def state_at_owner(
    *,
    saga_id: str,
    patterns: Sequence[str],
    user_id: str | None,
    look_again: Callable[[], SagaState | None],
) -> SagaState:
    """A saga of these patterns that was not known here: `pending` while it is on its way.
    `user_id`: whose it must be; None: whoever's.

    `look_again`: what is known here by now. One that has ended by the time that its owner is asked
    may have come and run since the first look, and only here are its steps known.
    Raises Problem: 404 where no owner has such a saga either, 503 where one cannot be asked.
    """
    found = _found_at_owners(saga_id)
    if found is None or user_id not in (None, found.user_id):
        raise problems.unknown("saga", saga_id)
    if found.saga_pattern not in patterns:
        raise problems.unknown("saga of this pattern", saga_id)
    return (look_again() if found.status.is_final else None) or found.state()


def is_completed(*, saga_id: str) -> bool:
    """Whether its owner says so; False where none can be asked."""
    try:
        found = _found_at_owners(saga_id)
    except problems.Problem:
        return False
    return found is not None and found.status is SagaStatus.COMPLETED


def is_closed(*, saga_id: str) -> bool:
    """Whether what its undo needs is kept no more; False where none can be asked."""
    try:
        found = _found_at_owners(saga_id)
    except problems.Problem:
        return False
    if found is None or found.ended_at is None:
        return False
    return (found.answered_at - found.ended_at).total_seconds() > keep_seconds()


def not_here(*, state: SagaState) -> Refused:
    """Why nothing can be asked yet, or any more, of a saga that only its owner knows."""
    if state.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        return Refused(refusals.ALREADY_UNDONE, f"This {state.saga} is {state.status} already.")
    if state.status is SagaStatus.COMPLETED and is_closed(saga_id=state.saga_id):
        detail = "It ended so long ago that what its undo needs is not kept any more."
        return Refused(refusals.CLOSED, detail)
    return Refused(refusals.NOT_STARTED, "It is accepted, and known here in a moment: ask again.")


def summary_of(*, state: SagaState) -> SagaSummary:
    """The short form."""
    names = SagaSummary.__struct_fields__
    return SagaSummary(**{name: getattr(state, name) for name in names})


def is_served(saga: str) -> bool:
    """Whether there is such a saga, and its owner is in this installation."""
    return saga in SAGAS and SAGAS[saga].owner in settings.SERVICE_URLS


def accept(*, saga: str, body: object, headers: dict[str, str]) -> ServiceResponse:
    """Its owner's answer to a request to start this saga. Raises Unreachable."""
    page = SAGAS[saga]
    return client(page.owner).post(path=page.door, body=body, headers=headers)


def shown(*, saga: str, accepted: ServiceResponse) -> ServiceResponse:
    """How its owner shows the saga that it has just accepted. Raises Unreachable."""
    where = urlsplit(str(accepted.headers.get("Location", "")))
    with waiting.for_an_answer():
        return client(SAGAS[saga].owner).get(path=where.path)


@cache
def client(service: str) -> Client:
    """To a service, with as many connections as may wait for it."""
    return Client(service, timeout=OWNER_SECONDS, connections=waiting.MOST_WAITING)


def _found_at_owners(saga_id: str) -> AcceptedState | None:
    """Raises Problem (503) where one that was not asked might know it."""
    away: Unreachable | None = None
    for owner in dict.fromkeys(page.owner for page in SAGAS.values()):
        if owner not in settings.SERVICE_URLS:
            continue
        try:
            with waiting.for_an_answer():
                given = client(owner).get(path=_path(owner, saga_id))
            if given.status == 200:
                found: AcceptedState = given.decode(type=AcceptedState)
                return found
        except Unreachable as error:
            away = error
    if away:
        raise problems.unavailable("a service that accepts sagas, and may know this one,") from away
    return None


def _path(owner: str, saga_id: str) -> str:
    return f"/{owner}/accepted/{quote(saga_id, safe='')}"
