"""A service has set a saga's message aside for a person, after all its tries.

Before the pivot the saga is then aborted, as the orchestrator undoes a step that it gives up; the
pivot decides, as for any abort. A saga that can't be turned back (an undo that keeps failing, a
step after the pivot) is parked, with its step and the service's own reason.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from contracts import events, refusals
from contracts.events import Event
from contracts.outcomes import Failure
from saga_choreography import operations, trail
from saga_choreography.checkout import LISTENS, SERVICE
from saga_choreography.entries import Stage, Watched
from saga_choreography.models import Action
from saga_choreography.operations import Asked
from saga_choreography.trail import Verdict
from sagas import points
from sagas.operations import Kind

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GivingUp:
    """The reaction to `step.parked`."""

    hears: str = events.STEP_PARKED
    group: str = events.STEP_PARKED
    step: str = ""

    def handle(self, heard: Sequence[Event]) -> None:
        take_note(heard=heard, now=datetime.now(UTC))


def take_note(*, heard: Sequence[Event], now: datetime) -> None:
    """Aborts the sagas, or parks them; in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is.
    """
    said = {event.saga_id: event for event in heard}
    with transaction.atomic(using=SERVICE):
        sagas = {one.saga_id: one for one in trail.lock_watched(saga_ids=said)}
        seen = trail.of(saga_ids=sagas)
        waiting = [
            one
            for saga_id, one in sagas.items()
            if waits(event=said[saga_id], stage=one.stage, seen=_types(seen[saga_id]))
        ]
        aborted = [one for one in waiting if _can_be_aborted(one, _types(seen[one.saga_id]))]
        parked = [one for one in waiting if one not in aborted]
        if aborted:
            operations.ask(asked=[_abort(one, said[one.saga_id]) for one in aborted], now=now)
        if parked:
            trail.record(verdicts=[_park(one, said[one.saga_id], now) for one in parked])
        points.reach("giving_up.before_commit")
    points.reach("giving_up.after_commit")
    for one in waiting:
        failure = _failure(said[one.saga_id])
        log.error(
            "given up at %s: %s", failure.step, failure.detail, extra={"saga_id": one.saga_id}
        )


def waits(*, event: Event, stage: Stage, seen: Collection[str]) -> bool:
    """Whether the saga still waits for what the service has given up.

    It does not once it has ended, or once anything was seen that follows from the message: then
    the service has handled it after all, or the message was a forged or damaged copy.
    """
    if stage in (Stage.COMPLETED, Stage.ENDED):
        return False
    service, cause = event.data.result.get("service"), event.data.result.get("event")
    heard = [one for one in LISTENS if (one.service, one.event) == (service, cause)]
    follows = {said for one in heard for said in (one.says, one.says_if_refused)}
    follows |= {_done(one.step) for one in heard if one.kind is Kind.BLOCK}
    return bool(heard) and cause in seen and not follows & set(seen)


def _done(step: str) -> str:
    return next(one.says for one in LISTENS if one.kind is Kind.DO and one.step == step)


def _can_be_aborted(saga: Watched, seen: Collection[str]) -> bool:
    return operations.decide_compensate(stage=saga.stage, event_types=seen) is Action.ABORT


def _abort(saga: Watched, event: Event) -> Asked:
    failure = _failure(event)
    return Asked(
        saga_id=saga.saga_id,
        context=saga.context,
        action=Action.ABORT,
        requested_by=str(event.data.result["service"]),
        reason=f"{failure.step}: {failure.detail}",
        code=refusals.GIVEN_UP,
    )


def _park(saga: Watched, event: Event, now: datetime) -> Verdict:
    failure = _failure(event)
    return Verdict(
        saga_id=saga.saga_id,
        watch_at=None,
        nudges=saga.nudges,
        nudged_at=saga.nudged_at,
        parked_at=now,
        parked_step=failure.step,
        parked_reason=failure.detail,
    )


def _failure(event: Event) -> Failure:
    return event.data.failure or Failure("unknown step", refusals.GIVEN_UP, "no reason was given")


def _types(seen: Sequence[trail.Seen]) -> set[str]:
    return {one.event_type for one in seen}
