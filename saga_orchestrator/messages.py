"""Calls as messages: a transition, and the request that it makes due, are written in one
transaction.

    a claimed saga    without a request out    the request
                      without a reply in time  a fault: the engine's transition
                      to be turned back        the engine's transition
    a reply           to the call that is due  the engine's transition, and the next request

While the reply is on its way no process holds the saga: it waits in its row until its patience is
over, and any runner may claim it then. So a crash anywhere loses nothing, and a request may be sent
twice: a service that receives it again replies again.

A reply counts if it is to the call that is due now: same step, same direction. The service's
barrier makes the replies to repeated requests equal. Any other reply is late or doubled, and
changes nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from django.db import transaction

from contracts import events, patterns, projection
from contracts.events import Event, Facts
from contracts.outcomes import Done, Outcome, Refused, Waiting
from contracts.projection import reply_to
from contracts.saga import SAGAS
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import Fault, Progress, Transition
from messaging import outbox, wakeups
from messaging.handlers import Reaction
from participant import failpoints, tracing
from saga_orchestrator import store
from saga_orchestrator.executor import Step, after, end_counter, given_up, turned_back
from saga_orchestrator.in_flight import ClaimedSaga

PATIENCE = 2
"""Times the step's own seconds: the other half is for the queues, there and back."""
NEARLY = 0.9
"""Share of the patience. A saga claimed earlier was woken for another reason."""
_NONE: Mapping[str, str] = MappingProxyType({})


def goes_by_message(*, saga: ClaimedSaga) -> bool:
    """Whether this saga's calls are made by message."""
    return saga.context.pattern == patterns.ORCHESTRATED_MESSAGING


def request_of(*, progress: Progress) -> str:
    """The type of the request for the call that is due."""
    return projection.request_of(progress.step, progress.direction)


def execute(*, sagas: Sequence[ClaimedSaga]) -> list[Step]:
    """Sends each claimed saga's request; a saga whose reply is overdue has faulted.

    Returns the transitions that were written.
    """
    now = time.monotonic()
    transitions = [(saga, _move_due(saga, now)) for saga in sagas]
    with transaction.atomic(using=store.ALIAS):
        written = write(transitions=transitions, now=now)
        failpoints.reach("requesting.before_commit")
    failpoints.reach("requesting.after_commit")
    end_counter.count(written)
    return written


def write(
    *, transitions: Sequence[Step], now: float, causes: Mapping[str, str] = _NONE
) -> list[Step]:
    """Writes the transitions, and the requests that are due then into the outbox.

    `causes`: by saga id, the id of the reply that moves it on. Runs in the caller's transaction.
    Returns the transitions that were written; another process has moved the other sagas.
    """
    # In one order everywhere, so that two writers can't wait for each other.
    ordered = sorted(transitions, key=lambda pair: pair[0].saga_id)
    patience = {
        saga.saga_id: _patience(saga, transition.progress, now)
        for saga, transition in ordered
        if transition.goes_on and not turned_back(saga=saga, progress=transition.progress, now=now)
    }
    moved = store.record(transitions=ordered, patience=patience)
    written = [(saga, transition) for saga, transition in ordered if saga.saga_id in moved]
    asked = [(saga, transition) for saga, transition in written if saga.saga_id in patience]
    outbox.add(
        service=store.ALIAS,
        events=[
            _request(saga, transition, causes.get(saga.saga_id, "")) for saga, transition in asked
        ],
    )
    if sum(transition.goes_on for _, transition in written) > len(asked):
        transaction.on_commit(_wake, using=store.ALIAS)
    return written


def _move_due(saga: ClaimedSaga, now: float) -> Transition:
    turned = turned_back(saga=saga, progress=saga.progress, now=now)
    if turned:
        return turned
    if saga.waited is not None and saga.waited >= NEARLY * _longest(saga.progress):
        request = request_of(progress=saga.progress)
        reason = f"no reply to {request} within {saga.waited:.1f} s"
        return after(saga=saga, answer=Fault(reason))
    return Transition(progress=saga.progress, status=saga.status)


def _patience(saga: ClaimedSaga, progress: Progress, now: float) -> float:
    """Seconds to wait for the reply; only until the deadline, if that turns the saga back."""
    longest = _longest(progress)
    left = saga.deadline - now
    if left < longest and turned_back(saga=saga, progress=progress, now=saga.deadline):
        return left
    return longest


def _longest(progress: Progress) -> float:
    """Doubles with each fault: a late service is not buried in requests."""
    return PATIENCE * progress.step.seconds * float(2**progress.faults)


def _request(saga: ClaimedSaga, transition: Transition, cause_id: str) -> Event:
    """The request carries the command, and nothing that its step does not need."""
    progress = transition.progress
    command = projection.command(
        step=progress.step,
        direction=progress.direction,
        context=saga.context_after(transition),
        failure=progress.failure,
    )
    return Event(
        id=events.event_id(
            saga_id=saga.saga_id, step=progress.step.name, direction=f"ask {progress.direction}"
        ),
        type=request_of(progress=progress),
        saga_id=saga.saga_id,
        saga=saga.name,
        occurred_at=datetime.now(UTC),
        data=Facts(context=msgspec.Raw(msgspec.json.encode(command))),
        cause_id=cause_id,
        traceparent=saga.context.traceparent,
        redrive=progress.faults > 0,
    )


def _wake() -> None:
    failpoints.reach("requesting.before_wake")
    wakeups.notify(service=store.ALIAS, channel=store.CHANNEL)


log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReplyHandler:
    """The reaction to a reply or a notice. `transition`: the saga's next transition; None if the
    event is not about the call that is due.
    """

    saga: str
    on: str
    transition: Callable[[ClaimedSaga, Event], Transition | None]
    group: str = "replies"
    """One group for all replies: the transitions of a batch are one statement."""
    step: str = ""

    def handle(self, received: Sequence[Event]) -> None:
        """Moves each saga on, at most once."""
        with tracing.continued(lambda event: f"take {event.type}", received, kind="consumer"):
            self._handle(received)

    def _handle(self, received: Sequence[Event]) -> None:
        now = time.monotonic()
        with transaction.atomic(using=store.ALIAS):
            sagas = _locked(received, now)
            transitions: dict[str, tuple[Event, Transition]] = {}
            for event in received:
                saga = sagas.get(event.saga_id)
                transition = self.transition(saga, event) if saga else None
                if transition:
                    transitions.setdefault(event.saga_id, (event, transition))
            written = write(
                transitions=[
                    (sagas[saga_id], transition) for saga_id, (_, transition) in transitions.items()
                ],
                now=now,
                causes={saga_id: event.id for saga_id, (event, _) in transitions.items()},
            )
            failpoints.reach("replies.before_commit")
        failpoints.reach("replies.after_commit")
        end_counter.count(written)
        if len(written) < len(received):
            log.info(
                "%d of %d replies were late or doubled", len(received) - len(written), len(received)
            )


def after_reply(saga: ClaimedSaga, reply: Event) -> Transition | None:
    """The transition after the outcome, if it is that of the call that is due.

    A parked saga goes on with a late outcome, but not with a refusal: the call was one that must
    not be refused, and only an operator can decide what follows.
    """
    request = _request_due(saga)
    outcome = _outcome(reply)
    is_of_use = saga.status is not SagaStatus.PARKED or isinstance(outcome, Done)
    if request and reply.type == reply_to(request) and is_of_use:
        return after(saga=saga, answer=outcome)
    return None


def after_notice(saga: ClaimedSaga, notice: Event) -> Transition | None:
    """The transition after a notice that the step that is due waits for a decision. It un-parks
    a parked saga, which then waits, too.
    """
    if notice.data.result.get("cause") != _request_due(saga):
        return None
    try:
        waiting = msgspec.convert(notice.data.result, Waiting)
    except msgspec.ValidationError:
        return None
    return engine.wait(progress=saga.progress, waiting=waiting)


def after_giving_up(saga: ClaimedSaga, notice: Event) -> Transition | None:
    """The transition after a notice that a service has parked the request that is due."""
    request = _request_due(saga)
    failure = notice.data.failure
    if not (request and failure) or saga.status is SagaStatus.PARKED:
        return None
    if notice.data.result.get("event") != request:
        return None
    return given_up(saga=saga, reason=failure.detail)


def _locked(received: Sequence[Event], now: float) -> dict[str, ClaimedSaga]:
    """Locks the rows of these events' sagas; returns those that go by message."""
    found = store.lock(saga_ids={event.saga_id for event in received})
    sagas = [saga for saga in found if isinstance(saga, ClaimedSaga) and goes_by_message(saga=saga)]
    for saga in sagas:
        saga.deadline += now
    return {saga.saga_id: saga for saga in sagas}


def _request_due(saga: ClaimedSaga) -> str:
    """The type of the request whose reply is due; empty if there is none."""
    return "" if saga.status in FINAL else request_of(progress=saga.progress)


def _outcome(reply: Event) -> Outcome:
    """A reply has a failure if and only if the service refused the request."""
    failure = reply.data.failure
    return Refused(failure.code, failure.detail) if failure else Done(reply.data.result)


REACTIONS: list[Reaction] = [
    *(
        ReplyHandler(saga=saga, on=reply, transition=after_reply)
        for saga, reply in sorted(projection.replies())
    ),
    # Groups of their own: another transition follows.
    *(
        ReplyHandler(saga=saga, on=notice, transition=transition, group=notice)
        for saga in SAGAS
        for notice, transition in (
            (projection.STEP_PARKED, after_giving_up),
            (projection.STEP_WAITING, after_notice),
        )
    ),
]
