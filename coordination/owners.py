"""A coordinator's calls to a saga's owner: to accept a saga, and for the state of a saga that the
coordinator does not have.
"""

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
"""The timeout of a call to an owner."""
ON_ITS_WAY_SECONDS = 60.0
"""After this time a coordinator has a saga that starts by itself, if it ever will."""


class AcceptedState(msgspec.Struct, frozen=True, kw_only=True):
    """A saga as its owner answers it. `answered_at`: by the same clock as the other times."""

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
        """The answer of a coordinator that does not have the saga yet, or any more.

        A saga that starts by itself and has just ended is pending: its events have not arrived, and
        with the first of them it would be running again.
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
    """The state of a saga of these patterns that is unknown here: `pending` until it arrives.
    `user_id`: the user who must own it; None: any user.

    `look_again`: returns the state that is known here by now. A saga that its owner knows as ended
    may have arrived and run since the first look, and only this service knows its steps.
    Raises Problem: 404 if no owner has this saga, 503 if an owner can't be asked.
    """
    found = _found_at_owners(saga_id)
    if found is None or user_id not in (None, found.user_id):
        raise problems.unknown("saga", saga_id)
    if found.saga_pattern not in patterns:
        raise problems.unknown("saga of this pattern", saga_id)
    return (look_again() if found.status.is_final else None) or found.state()


def is_completed(*, saga_id: str) -> bool:
    """Whether its owner has it as completed; False if the owner can't be asked."""
    try:
        found = _found_at_owners(saga_id)
    except problems.Problem:
        return False
    return found is not None and found.status is SagaStatus.COMPLETED


def is_closed(*, saga_id: str) -> bool:
    """Whether the rows that its undo needs are deleted; False if its owner can't be asked."""
    try:
        found = _found_at_owners(saga_id)
    except problems.Problem:
        return False
    if found is None or found.ended_at is None:
        return False
    return (found.answered_at - found.ended_at).total_seconds() > keep_seconds()


def not_here(*, state: SagaState) -> Refused:
    """Why no request is possible yet, or any more, for a saga that only its owner has."""
    if state.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        return Refused(refusals.ALREADY_UNDONE, f"This {state.saga} is {state.status} already.")
    if state.status is SagaStatus.COMPLETED and is_closed(saga_id=state.saga_id):
        detail = "It ended so long ago that the rows for its undo are deleted."
        return Refused(refusals.CLOSED, detail)
    return Refused(refusals.NOT_STARTED, "It is accepted but has not started yet: try again.")


def summary_of(*, state: SagaState) -> SagaSummary:
    """The short form."""
    names = SagaSummary.__struct_fields__
    return SagaSummary(**{name: getattr(state, name) for name in names})


def is_served(saga: str) -> bool:
    """Whether the saga exists, and its owner is in this installation."""
    return saga in SAGAS and SAGAS[saga].owner in settings.SERVICE_URLS


def accept(*, saga: str, body: object, headers: dict[str, str]) -> ServiceResponse:
    """The owner's answer to a request to start this saga. Raises Unreachable."""
    definition = SAGAS[saga]
    return client(definition.owner).post(path=definition.door, body=body, headers=headers)


def shown(*, saga: str, accepted: ServiceResponse) -> ServiceResponse:
    """The owner's state of the saga that it has just accepted. Raises Unreachable."""
    where = urlsplit(str(accepted.headers.get("Location", "")))
    with waiting.for_an_answer():
        return client(SAGAS[saga].owner).get(path=where.path)


@cache
def client(service: str) -> Client:
    """The client of a service, with as many connections as requests may wait for it."""
    return Client(service, timeout=OWNER_SECONDS, connections=waiting.MOST_WAITING)


def _found_at_owners(saga_id: str) -> AcceptedState | None:
    """Raises Problem (503) if an owner that could not be asked might have it."""
    away: Unreachable | None = None
    for owner in dict.fromkeys(saga.owner for saga in SAGAS.values()):
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
