"""Tracking: writes down what the services say, and changes nothing of what they do.

A saga is known from the first of its events that comes here. Every event is one appended row; a
saga's own row is written only when its stage changes, which is once for one that completes. Steps
are derived from the trail when somebody asks, purely, whatever their order and number, and from the
saga's page: a new step, or a new saga, needs no change here.

But for one: a saga that a person has stopped, and that was completed all the same, is returned.
The person was answered that it would be undone, and the abort has come after the pivot.
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
from messaging.reactions import InvalidEvent
from messaging.reactions import context as context_of
from participant import failpoints
from saga_choreography import store
from saga_choreography.models import Action, Intervention
from saga_choreography.store import SERVICE, Locked, Said, Seen, Settled, Stage, Stop, Wait

_STATUS_OF_STAGE = {
    Stage.RUNNING: SagaStatus.RUNNING,
    Stage.COMPENSATING: SagaStatus.COMPENSATING,
    Stage.COMPLETED: SagaStatus.COMPLETED,
    Stage.RETURNING: SagaStatus.COMPENSATING,
}


class SagaView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga stands. `current_step`: what is being done, or undone; None: it has ended."""

    stage: Stage
    status: SagaStatus
    current_step: str | None
    failure: Failure | None
    finished_at: datetime | None
    steps: Sequence[StepState]


@cache
def machine_of(saga: str) -> "StateMachine":
    """What the events of this saga mean. Raises KeyError where the catalogue has none such."""
    return StateMachine(SAGAS[saga])


class StateMachine:
    """A saga's page, read as what its events tell: made once for each saga.

    `pivot`: the step that decides whether the saga can still be turned back. `stage_after`: the
    stage that it has come to at least, once this event was seen; events not in it change none.
    """

    def __init__(self, saga: Saga) -> None:
        self.page = saga
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
        self.stage_after: Mapping[str, Stage] = {
            **dict.fromkeys(self._back, Stage.COMPENSATING),
            self.completed: Stage.COMPLETED,
            self.page.give_back: Stage.RETURNING,
            self.pivot.undone: Stage.RETURNING,
            self.undone: Stage.ENDED,
        }

    def fold(self, *, trail: Iterable[Seen]) -> SagaView:
        """The state that these events make, in any order and with any duplicates."""
        seen = _first_of_each(trail)
        stage = max(
            (self.stage_after.get(one, Stage.RUNNING) for one in seen), default=Stage.RUNNING
        )
        last = self._last(stage, seen)
        return SagaView(
            stage=stage,
            status=status_after(stage=stage, last=last.data if last else None),
            current_step=self.current_step(stage=stage, event_types=seen),
            failure=self._failure(stage, seen),
            finished_at=last.occurred_at if last else None,
            steps=[self._step(at, stage, seen) for at in range(len(self.page.steps))],
        )

    def current_step(self, *, stage: Stage, event_types: Iterable[str]) -> str | None:
        """The step that is being done, or undone, once these were seen; None once it has ended."""
        if stage in (Stage.COMPLETED, Stage.ENDED):
            return None
        steps, seen = self.page.steps, set(event_types)
        if stage is Stage.RUNNING:
            return steps[min(self._furthest(seen) + 1, len(steps) - 1)].name
        return steps[self._lowest(seen) - 1].name

    def last_events(self, *, stage: Stage, event_types: Iterable[str]) -> list[str]:
        """What has to be said again for a saga to go on that stands still after these events.

        Backward: the event furthest back; every undo before it has happened, or it would not be
        said. Forward: the event furthest on, and the abort if one was asked for, since the pivot
        decides between the two.
        """
        seen = set(event_types)
        if stage is Stage.RUNNING:
            forward = sorted(seen & self._done.keys(), key=lambda one: self._done[one])
            return forward[-1:] + sorted(seen & {self.page.abort})
        backward = self._back | {self.page.give_back: self._past_first_undo}
        return sorted(seen & backward.keys(), key=lambda one: (backward[one], one))[:1]

    def _last(self, stage: Stage, seen: Mapping[str, Seen]) -> Seen | None:
        if stage is Stage.ENDED:
            return seen[self.undone]
        return seen[self.completed] if stage is Stage.COMPLETED else None

    def _failure(self, stage: Stage, seen: Mapping[str, Seen]) -> Failure | None:
        if stage is Stage.ENDED:
            return seen[self.undone].data.failure
        reached = [one for one in seen.values() if self.stage_after.get(one.event_type) is stage]
        reasons = [one for one in reached if one.data.failure]
        first = min(reasons, key=lambda one: (one.seen_at, one.event_id), default=None)
        return first.data.failure if first else None

    def _furthest(self, seen: Iterable[str]) -> int:
        return max((self._done[one] for one in seen if one in self._done), default=0)

    def _lowest(self, seen: Iterable[str]) -> int:
        """How far back it has come: all undos of the steps from here on are done."""
        back = [self._back[one] for one in seen if one in self._back]
        return min(back, default=self._past_first_undo)

    def _step(self, at: int, stage: Stage, seen: Mapping[str, Seen]) -> StepState:
        step = self.page.steps[at]
        done, refused = seen.get(step.done), seen.get(step.refused)
        undone = seen.get(step.undone)
        acted, last = done or refused, undone or done or refused
        return StepState(
            step_name=step.name,
            status=self._step_status(at, stage, seen),
            started_at=acted.requested_at if acted else None,
            finished_at=last.occurred_at if last else None,
            error=_error(done, refused, undone),
            response_data=done.data.result if done else {},
        )

    def _step_status(self, at: int, stage: Stage, seen: Mapping[str, Seen]) -> StepStatus:
        """A step whose own event was lost on its way here is known by those that follow it."""
        step, furthest = self.page.steps[at], self._furthest(seen)
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
            is_undone = _is_backward(stage) and at >= self._lowest(seen) and step.undone
            return StepStatus.COMPENSATED if is_undone else StepStatus.COMPLETED
        if _is_backward(stage):
            return StepStatus.SKIPPED
        return StepStatus.RUNNING if at == furthest + 1 else StepStatus.PENDING


def status_after(*, stage: Stage, last: Said | Facts | None) -> SagaStatus:
    """The word for a stage. `last`: what the event carried that ended the saga, if it has ended.

    A saga that was undone says in its last event whether anything had to be, as its owner recorded
    it: the two can't disagree.
    """
    if stage is not Stage.ENDED or last is None:
        return _STATUS_OF_STAGE[stage]
    if last.result.get("status") in (SagaStatus.FAILED, SagaStatus.COMPENSATED):
        return SagaStatus(last.result["status"])
    is_undone = last.failure is not None and last.failure.undone
    return SagaStatus.COMPENSATED if is_undone else SagaStatus.FAILED


def still_waits(
    *, wait: Wait | None, saga: str, stage: Stage, event_types: Collection[str]
) -> bool:
    """Whether the saga still waits for that decision, as its trail tells: nothing that follows from
    it was seen, and nobody has asked for the saga's end.
    """
    if wait is None or stage is not Stage.RUNNING or saga not in SAGAS:
        return False
    page = SAGAS[saga]
    position = next((at for at, one in enumerate(page.steps) if one.name == wait.step), None)
    if position is None or page.abort in event_types:
        return False
    later = {event for step in page.steps[position:] for event in (step.done, step.refused)}
    return not later & set(event_types)


def _first_of_each(trail: Iterable[Seen]) -> dict[str, Seen]:
    ordered = sorted(trail, key=lambda one: (one.seen_at, one.event_id), reverse=True)
    return {one.event_type: one for one in ordered}


def _error(done: Seen | None, refused: Seen | None, undone: Seen | None) -> str | None:
    for one, word in ((undone, "undo skipped"), (done, "skipped")):
        if one and "skipped" in one.data.result:
            return f"{word}: {one.data.result['skipped']}"
    failure = refused.data.failure if refused else None
    return f"{failure.code}: {failure.detail}" if failure else None


def _is_backward(stage: Stage) -> bool:
    return stage in (Stage.COMPENSATING, Stage.RETURNING, Stage.ENDED)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for an abort or a return. `code`: the failure's, if the saga goes backward."""

    context: Context
    action: Action
    requested_by: str
    reason: str
    code: str = refusals.STOPPED


def track(*, heard: Sequence[Event], now: datetime) -> None:
    """Writes the events to their sagas' trails, and brings the sagas to the stages they tell of.

    In any order, any number of times: what was seen before changes nothing. Raises InvalidEvent.
    """
    contexts = [context_of(event=event) for event in heard]
    reached = _furthest_of_each(heard)
    with transaction.atomic(using=SERVICE):
        _get_to_know(heard, contexts, now)
        locked = store.lock_stages(saga_ids=reached) if reached else {}
        store.add_seen(
            seen=[
                as_seen(event=event, context=context, now=now)
                for event, context in zip(heard, contexts, strict=True)
            ],
            watch_at=next_look(now=now),
        )
        new = [event for event in reached.values() if _is_new(event, locked[event.saga_id])]
        if new:
            store.settle(settled=[settled(event=event, now=now) for event in new])
        _return([event for event in new if _is_late(event, locked[event.saga_id])], now)
        failpoints.reach("tracking.before_commit")
    failpoints.reach("tracking.after_commit")


def next_look(*, now: datetime) -> datetime:
    """When the watchdog looks at a saga that has moved just now."""
    return now + timedelta(seconds=redrive_seconds())


def redrive_seconds() -> float:
    """After this long without an event a saga is redriven, then ever more rarely."""
    return float(getattr(settings, "REDRIVE_SECONDS", 10.0))


def as_seen(*, event: Event, context: Context, now: datetime) -> Seen:
    """The event as an entry of its saga's trail. `context`: its own."""
    return Seen(
        saga_id=event.saga_id,
        event_type=event.type,
        event_id=event.id,
        cause_id=event.cause_id,
        requested_at=event.data.requested_at,
        occurred_at=event.occurred_at,
        seen_at=now,
        data=Said(result=event.data.result, failure=event.data.failure, results=context.results),
    )


def settled(*, event: Event, now: datetime) -> Settled:
    """The row of a saga that this event brings to a new stage."""
    stage = _stage_after(event)
    is_over = stage in (Stage.COMPLETED, Stage.ENDED)
    failure = event.data.failure or Failure("", "")
    return Settled(
        saga_id=event.saga_id,
        stage=stage,
        status=status_after(stage=stage, last=event.data),
        failure_step=failure.step,
        failure_code=failure.code,
        failure_detail=failure.detail,
        finished_at=event.occurred_at if is_over else None,
        watch_at=None if is_over else next_look(now=now),
    )


def ask(*, asked: Sequence[Asked], now: datetime) -> None:
    """Says and records it, for locked sagas. A second time says nothing new."""
    said = [_requested(one, now) for one in asked]
    store.add_seen(
        seen=[
            as_seen(event=event, context=one.context, now=now)
            for event, one in zip(said, asked, strict=True)
        ],
        watch_at=next_look(now=now),
    )
    returns = [event for event in said if _stage_after(event) > Stage.RUNNING]
    if returns:
        store.settle(settled=[settled(event=event, now=now) for event in returns])
    outbox.add(service=SERVICE, said=said)
    Intervention.objects.bulk_create(
        Intervention(
            saga_id=one.context.saga_id,
            action=one.action,
            requested_by=one.requested_by,
            reason=one.reason,
            requested_at=now,
        )
        for one in asked
    )


def new_event(
    *, context: Context, event_type: str, step: str, direction: str, facts: Facts, now: datetime
) -> Event:
    """What this service says of that step."""
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
    page, pivot = machine.page, machine.pivot.name
    # The pivot is the step that then does not happen. An abort names no earlier one: what is
    # refused at the first step is told apart by the owner.
    failure = Failure(pivot, asked.code, asked.reason or f"Asked by {asked.requested_by}.")
    return new_event(
        context=asked.context,
        event_type=page.abort if asked.action is Action.ABORT else page.give_back,
        step=pivot,
        direction=asked.action.value,
        facts=Facts(context=as_raw(context=asked.context), failure=failure),
        now=now,
    )


def _get_to_know(heard: Sequence[Event], contexts: Sequence[Context], now: datetime) -> None:
    """Writes the sagas that are not known here. Their time begins now: an event's own is of
    another host's clock. Raises InvalidEvent for an event whose saga id is another saga's.
    """
    ids = {event.saga_id for event in heard}
    names = store.names(saga_ids=ids)
    unknown = {
        context.saga_id: context
        for context in reversed(contexts)  # of two for one id the first counts
        if context.saga_id not in names
    }
    if unknown:
        store.add_sagas(
            contexts=list(unknown.values()), started_at=now, watch_at=next_look(now=now)
        )
        names = store.names(saga_ids=ids)
    for event in heard:
        known = names[event.saga_id]
        if known != event.saga and known in SAGAS:
            raise InvalidEvent(event, f"the saga {event.saga_id} is a {known}")


def _stage_after(event: Event) -> Stage:
    return machine_of(event.saga).stage_after.get(event.type, Stage.RUNNING)


def _is_new(event: Event, locked: Locked) -> bool:
    """A row whose stage can't be read is left to the watchdog, which parks it."""
    return locked.stage is not None and _stage_after(event) > locked.stage


def _is_late(event: Event, locked: Locked) -> bool:
    """Whether it has completed although a person had stopped it."""
    return locked.is_stopped and _stage_after(event) is Stage.COMPLETED


def _return(completed: Sequence[Event], now: datetime) -> None:
    """An abort that a person asked for came too late for these: what was asked for is a return."""
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


def _furthest_of_each(heard: Sequence[Event]) -> Mapping[str, Event]:
    """For each saga the event that brings it furthest, of those that change a stage."""
    reached: dict[str, Event] = {}
    for event in heard:
        if _stage_after(event) > Stage.RUNNING:
            known = reached.setdefault(event.saga_id, event)
            if _stage_after(event) > _stage_after(known):
                reached[event.saga_id] = event
    return reached
