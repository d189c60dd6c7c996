"""Tracking: records the services' events, without influence on what the services do.

A saga is known from the first of its events that arrives here. Each event is an appended row; a
saga's own row is updated only when its phase changes: once for a saga that completes. The states of
steps are derived on reading from the trail, in whatever order it came, and from the saga's
definition: a new step, or a new saga, needs no change here.

With one exception: a saga that a person has stopped and that has completed all the same is
returned. The abort came after the pivot, and the person was promised the undo.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

import msgspec
from django.conf import settings
from django.db import transaction

from contracts import events, refusals
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from contracts.saga import SAGAS, Context, Saga, Step
from contracts.states import SagaStatus, StepState, StepStatus
from messaging import outbox
from messaging.handlers import InvalidEvent
from messaging.handlers import context as context_of
from participant import failpoints, trail
from saga_choreography import store
from saga_choreography.models import Action, Intervention
from saga_choreography.store import (
    SERVICE,
    EventBody,
    Locked,
    PhaseChange,
    SagaPhase,
    Stop,
    TrackedEvent,
    Wait,
)

_STATUS_OF_PHASE = {
    SagaPhase.RUNNING: SagaStatus.RUNNING,
    SagaPhase.COMPENSATING: SagaStatus.COMPENSATING,
    SagaPhase.COMPLETED: SagaStatus.COMPLETED,
    SagaPhase.RETURNING: SagaStatus.COMPENSATING,
}


class TrackedSaga(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga stands. `current_step`: being done, or undone; None once the saga has ended."""

    phase: SagaPhase
    status: SagaStatus
    current_step: str | None
    failure: Failure | None
    finished_at: datetime | None
    steps: Sequence[StepState]


@cache
def machine_of(saga: str) -> "StateMachine":
    """The state machine of a saga. Raises KeyError if the catalogue has no such saga."""
    return StateMachine(SAGAS[saga])


class StateMachine:
    """Derives a saga's state from its events, by its definition.

    `pivot`: the step that decides whether the saga can still be turned back. `phase_after`: by
    event, the phase that the saga has reached at least; other events change no phase.
    """

    def __init__(self, saga: Saga) -> None:
        self.definition = saga
        self.pivot: Step = saga.steps[saga.pivot]
        self.started, self.completed = saga.steps[0].done, saga.steps[-1].done
        self.undone = saga.steps[0].undone
        self._done = {step.done: at for at, step in enumerate(saga.steps)}
        self._back = {
            event: at
            for at, step in enumerate(saga.steps)
            for event in (step.refused, step.undone)
            if event
        }
        self._past_first_undo = saga.pivot + 1
        self.phase_after: Mapping[str, SagaPhase] = {
            **dict.fromkeys(self._back, SagaPhase.COMPENSATING),
            self.completed: SagaPhase.COMPLETED,
            self.definition.give_back: SagaPhase.RETURNING,
            self.pivot.undone: SagaPhase.RETURNING,
            self.undone: SagaPhase.ENDED,
        }

    def fold(self, *, trail: Iterable[TrackedEvent]) -> TrackedSaga:
        """The state after these events, in any order and with any duplicates."""
        seen = _first_of_each(trail)
        phase = max(
            (self.phase_after.get(event_type, SagaPhase.RUNNING) for event_type in seen),
            default=SagaPhase.RUNNING,
        )
        last = self._last(phase, seen)
        return TrackedSaga(
            phase=phase,
            status=status_after(phase=phase, last=last.data if last else None),
            current_step=self.current_step(phase=phase, event_types=seen),
            failure=self._failure(phase, seen),
            finished_at=last.occurred_at if last else None,
            steps=[self._step(at, phase, seen) for at in range(len(self.definition.steps))],
        )

    def current_step(self, *, phase: SagaPhase, event_types: Iterable[str]) -> str | None:
        """The step being done, or undone, after these events; None once the saga has ended."""
        if phase in (SagaPhase.COMPLETED, SagaPhase.ENDED):
            return None
        steps, seen = self.definition.steps, set(event_types)
        if phase is SagaPhase.RUNNING:
            return steps[min(self._furthest(seen) + 1, len(steps) - 1)].name
        return steps[self._lowest(seen) - 1].name

    def last_events(self, *, phase: SagaPhase, event_types: Iterable[str]) -> list[str]:
        """The events to be published again so that a saga goes on that stalls after these events.

        Backward: the event of the earliest step, which implies all undos before it. Forward: the
        event of the latest step, and the abort if it was requested: the pivot decides between them.
        """
        seen = set(event_types)
        if phase is SagaPhase.RUNNING:
            forward = sorted(
                seen & self._done.keys(), key=lambda event_type: self._done[event_type]
            )
            return forward[-1:] + sorted(seen & {self.definition.abort})
        backward = self._back | {self.definition.give_back: self._past_first_undo}
        return sorted(
            seen & backward.keys(), key=lambda event_type: (backward[event_type], event_type)
        )[:1]

    def _last(self, phase: SagaPhase, seen: Mapping[str, TrackedEvent]) -> TrackedEvent | None:
        if phase is SagaPhase.ENDED:
            return seen[self.undone]
        return seen[self.completed] if phase is SagaPhase.COMPLETED else None

    def _failure(self, phase: SagaPhase, seen: Mapping[str, TrackedEvent]) -> Failure | None:
        if phase is SagaPhase.ENDED:
            return seen[self.undone].data.failure
        reached = [
            event for event in seen.values() if self.phase_after.get(event.event_type) is phase
        ]
        reasons = [event for event in reached if event.data.failure]
        first = min(reasons, key=lambda event: (event.seen_at, event.event_id), default=None)
        return first.data.failure if first else None

    def _furthest(self, seen: Iterable[str]) -> int:
        return max(
            (self._done[event_type] for event_type in seen if event_type in self._done), default=0
        )

    def _lowest(self, seen: Iterable[str]) -> int:
        """The position from which on all steps are undone."""
        back = [self._back[event_type] for event_type in seen if event_type in self._back]
        return min(back, default=self._past_first_undo)

    def _step(self, at: int, phase: SagaPhase, seen: Mapping[str, TrackedEvent]) -> StepState:
        step = self.definition.steps[at]
        done, refused = seen.get(step.done), seen.get(step.refused)
        undone = seen.get(step.undone)
        acted, last = done or refused, undone or done or refused
        return StepState(
            step_name=step.name,
            status=self._step_status(at, phase, seen),
            started_at=acted.requested_at if acted else None,
            finished_at=last.occurred_at if last else None,
            error=_error(done, refused, undone),
            response_data=done.data.result if done else {},
        )

    def _step_status(
        self, at: int, phase: SagaPhase, seen: Mapping[str, TrackedEvent]
    ) -> StepStatus:
        """A step whose own event was lost on its way here is known by the events after it."""
        step, furthest = self.definition.steps[at], self._furthest(seen)
        done, undone = seen.get(step.done), seen.get(step.undone)
        if undone and "skipped" in undone.data.result:
            return StepStatus.COMPLETED
        if done and "skipped" in done.data.result:
            return StepStatus.SKIPPED
        if undone and not undone.data.result.get("nothing_to_undo"):
            return StepStatus.COMPENSATED
        if step.refused in seen:
            return StepStatus.FAILED
        if undone:
            return StepStatus.SKIPPED
        if at <= furthest:
            is_undone = _is_backward(phase) and at >= self._lowest(seen) and step.undone
            return StepStatus.COMPENSATED if is_undone else StepStatus.COMPLETED
        if _is_backward(phase):
            return StepStatus.SKIPPED
        return StepStatus.RUNNING if at == furthest + 1 else StepStatus.PENDING


def status_after(*, phase: SagaPhase, last: EventBody | Facts | None) -> SagaStatus:
    """The status of a saga in this phase. `last`: the body of the event that ended it, if any.

    The last event of a saga that was undone carries the status that its owner recorded, so the two
    can't disagree.
    """
    if phase is not SagaPhase.ENDED or last is None:
        return _STATUS_OF_PHASE[phase]
    if last.result.get("status") in (SagaStatus.FAILED, SagaStatus.COMPENSATED):
        return SagaStatus(last.result["status"])
    is_undone = last.failure is not None and last.failure.undone
    return SagaStatus.COMPENSATED if is_undone else SagaStatus.FAILED


def still_waits(
    *, wait: Wait | None, saga: str, phase: SagaPhase, event_types: Collection[str]
) -> bool:
    """Whether the saga still waits for that decision: its trail has no event of that step or a
    later step, and no abort.
    """
    if wait is None or phase is not SagaPhase.RUNNING or saga not in SAGAS:
        return False
    definition = SAGAS[saga]
    steps = definition.steps
    position = next((at for at, step in enumerate(steps) if step.name == wait.step), None)
    if position is None or definition.abort in event_types:
        return False
    later = {event for step in steps[position:] for event in (step.done, step.refused)}
    return not later & set(event_types)


def _first_of_each(trail: Iterable[TrackedEvent]) -> dict[str, TrackedEvent]:
    ordered = sorted(trail, key=lambda event: (event.seen_at, event.event_id), reverse=True)
    return {event.event_type: event for event in ordered}


def _error(
    done: TrackedEvent | None, refused: TrackedEvent | None, undone: TrackedEvent | None
) -> str | None:
    for event, word in ((undone, "undo skipped"), (done, "skipped")):
        if event and "skipped" in event.data.result:
            return f"{word}: {event.data.result['skipped']}"
    failure = refused.data.failure if refused else None
    return f"{failure.code}: {failure.detail}" if failure else None


def _is_backward(phase: SagaPhase) -> bool:
    return phase in (SagaPhase.COMPENSATING, SagaPhase.RETURNING, SagaPhase.ENDED)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a person or the watchdog for an abort or a return. `code`: of the failure, if
    the saga goes backward.
    """

    context: Context
    action: Action
    requested_by: str
    reason: str
    code: str = refusals.STOPPED


def track(*, received: Sequence[Event], now: datetime) -> None:
    """Appends the events to their sagas' trails, and moves the sagas to the phases reached.

    In any order, any number of times: an event seen before changes nothing. Raises InvalidEvent.
    """
    contexts = [context_of(event=event) for event in received]
    reached = _furthest_of_each(received)
    with transaction.atomic(using=SERVICE):
        _get_to_know(received, contexts, now)
        locked = store.lock_phases(saga_ids=reached) if reached else {}
        store.add_events(
            events=[
                tracked(event=event, context=context, now=now)
                for event, context in zip(received, contexts, strict=True)
            ],
            watch_at=next_look(now=now),
        )
        new = [event for event in reached.values() if _is_new(event, locked[event.saga_id])]
        if new:
            store.change_phases(changes=[phase_change(event=event, now=now) for event in new])
        _return([event for event in new if _is_late(event, locked[event.saga_id])], now)
        failpoints.reach("tracking.before_commit")
    failpoints.reach("tracking.after_commit")


def next_look(*, now: datetime) -> datetime:
    """When the watchdog checks a saga that has moved just now."""
    return now + timedelta(seconds=redrive_seconds())


def redrive_seconds() -> float:
    """The seconds without an event after which a saga is redriven; later redrives wait longer."""
    return float(getattr(settings, "REDRIVE_SECONDS", 10.0))


def tracked(*, event: Event, context: Context, now: datetime) -> TrackedEvent:
    """The event as an entry of its saga's trail. `context`: the event's."""
    return TrackedEvent(
        saga_id=event.saga_id,
        event_type=event.type,
        event_id=event.id,
        cause_id=event.cause_id,
        requested_at=event.data.requested_at,
        occurred_at=event.occurred_at,
        seen_at=now,
        data=EventBody(
            result=event.data.result, failure=event.data.failure, results=context.results
        ),
    )


def phase_change(*, event: Event, now: datetime) -> PhaseChange:
    """The row of a saga that this event moves to a new phase."""
    phase = _phase_after(event)
    is_over = phase in (SagaPhase.COMPLETED, SagaPhase.ENDED)
    failure = event.data.failure or Failure("", "")
    return PhaseChange(
        saga_id=event.saga_id,
        phase=phase,
        status=status_after(phase=phase, last=event.data),
        failure_step=failure.step,
        failure_code=failure.code,
        failure_detail=failure.detail,
        finished_at=event.occurred_at if is_over else None,
        watch_at=None if is_over else next_look(now=now),
    )


def ask(*, asked: Sequence[Asked], now: datetime) -> None:
    """Publishes and records the requests, for locked sagas. A repeated request changes nothing."""
    requests = [_requested(request, now) for request in asked]
    store.add_events(
        events=[
            tracked(event=event, context=request.context, now=now)
            for event, request in zip(requests, asked, strict=True)
        ],
        watch_at=next_look(now=now),
    )
    returns = [event for event in requests if _phase_after(event) > SagaPhase.RUNNING]
    if returns:
        store.change_phases(changes=[phase_change(event=event, now=now) for event in returns])
    outbox.add(service=SERVICE, events=requests)
    Intervention.objects.bulk_create(
        Intervention(
            saga_id=request.context.saga_id,
            action=request.action,
            requested_by=request.requested_by,
            reason=request.reason,
            requested_at=now,
            **trail.told(),
        )
        for request in asked
    )


def new_event(
    *, context: Context, event_type: str, step: str, direction: str, facts: Facts, now: datetime
) -> Event:
    """An event that this service publishes."""
    return Event(
        id=events.event_id(saga_id=context.saga_id, step=step, direction=direction),
        type=event_type,
        saga_id=context.saga_id,
        saga=context.saga,
        occurred_at=now,
        data=facts,
        traceparent=context.traceparent,
    )


def as_raw(*, context: Context) -> msgspec.Raw:
    """The context as events carry it."""
    return msgspec.Raw(msgspec.json.encode(context))


def _requested(asked: Asked, now: datetime) -> Event:
    machine = machine_of(asked.context.saga)
    definition, pivot = machine.definition, machine.pivot.name
    # The failure names the pivot, the step that then does not happen: an abort names no earlier
    # step, as the owner treats a refusal at the first step differently.
    failure = Failure(pivot, asked.code, asked.reason or f"Asked by {asked.requested_by}.")
    return new_event(
        context=asked.context,
        event_type=definition.abort if asked.action is Action.ABORT else definition.give_back,
        step=pivot,
        direction=asked.action.value,
        facts=Facts(context=as_raw(context=asked.context), failure=failure),
        now=now,
    )


def _get_to_know(received: Sequence[Event], contexts: Sequence[Context], now: datetime) -> None:
    """Writes the sagas that are not known here. They start now: the time in an event is another
    host's. Raises InvalidEvent for an event whose id belongs to another saga.
    """
    ids = {event.saga_id for event in received}
    names = store.names(saga_ids=ids)
    unknown = {
        context.saga_id: context
        for context in reversed(contexts)  # of two contexts of one id the first counts
        if context.saga_id not in names
    }
    if unknown:
        store.add_sagas(
            contexts=list(unknown.values()), started_at=now, watch_at=next_look(now=now)
        )
        names = store.names(saga_ids=ids)
    for event in received:
        known = names[event.saga_id]
        if known != event.saga and known in SAGAS:
            raise InvalidEvent(event, f"the saga {event.saga_id} is a {known}")


def _phase_after(event: Event) -> SagaPhase:
    return machine_of(event.saga).phase_after.get(event.type, SagaPhase.RUNNING)


def _is_new(event: Event, locked: Locked) -> bool:
    """Whether it moves the saga to a new phase. The watchdog parks a row of unknown phase."""
    return locked.phase is not None and _phase_after(event) > locked.phase


def _is_late(event: Event, locked: Locked) -> bool:
    """Whether the saga has completed although a person had stopped it."""
    return locked.is_stopped and _phase_after(event) is SagaPhase.COMPLETED


def _return(completed: Sequence[Event], now: datetime) -> None:
    """Requests the return of sagas that completed before a person's abort reached the pivot."""
    if completed:
        ask(asked=list(_returns(completed)), now=now)


def _returns(completed: Sequence[Event]) -> Iterator[Asked]:
    stops = store.stops(saga_ids=[event.saga_id for event in completed])
    for event in completed:
        stop = stops.get(event.saga_id, Stop("unknown", ""))
        yield Asked(
            context=context_of(event=event),
            action=Action.RETURN,
            requested_by=stop.requested_by,
            reason=stop.reason,
        )


def _furthest_of_each(received: Sequence[Event]) -> Mapping[str, Event]:
    """For each saga the event that moves it furthest, of those that change a phase."""
    reached: dict[str, Event] = {}
    for event in received:
        if _phase_after(event) > SagaPhase.RUNNING:
            known = reached.setdefault(event.saga_id, event)
            if _phase_after(event) > _phase_after(known):
                reached[event.saga_id] = event
    return reached
