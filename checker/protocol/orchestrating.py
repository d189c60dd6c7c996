"""Every journey of an orchestrated saga: the real engine, with every answer of the services.

The orchestrator turns a saga back before a call (a stop, the deadline), or gives up a step that is
in doubt: its effect may exist or not, and both are tried. A parked saga is retried once. A saga
with a step that waits for a person stops until the decision, or until it is turned back.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from checker.protocol.description import Ending, Orchestration
from checker.protocol.journeys import (
    Act,
    BarrierEntryModel,
    Book,
    Course,
    Journey,
    Walked,
    decide,
    execute,
    scenarios,
    stored,
    waits,
)
from contracts import refusals
from contracts.outcomes import Done, Refused, Waiting
from contracts.saga import Direction
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import CallResult, Fault, Progress, Transition

MOST_CALLS = 200
SOME_TIME = datetime(2100, 1, 1, tzinfo=UTC)
"""The deadline of waiting steps: no clock is read here."""
_ENDINGS = {SagaStatus.COMPLETED: Ending.COMPLETED}


class CallState(NamedTuple):
    """`may_turn`, `may_return`: whether it can still be turned back, and returned at the end."""

    progress: Progress
    status: SagaStatus
    book: Book
    acts: tuple[Act, ...]
    ends: tuple[Ending, ...]
    way: tuple[str, ...]
    may_turn: bool
    may_return: bool


def walk(protocol: Orchestration) -> Walked:
    """Every journey in every scenario."""
    journeys: dict[Course, list[Journey]] = {}
    states = 0
    for scenario in scenarios(saga=protocol.saga, can_turn_back=True, can_return=True):
        found = list(_explore(_first(protocol, scenario), scenario.refused))
        states += len(found)
        last = [state for state in found if state.status in FINAL and not state.may_return]
        last += [state for state in found if len(state.way) >= MOST_CALLS]
        journeys[scenario] = [Journey(state.acts, state.ends, state.way) for state in last]
    return Walked(journeys, states)


def _first(protocol: Orchestration, scenario: Course) -> CallState:
    """The acceptance has happened; the first call is due."""
    accepted = protocol.saga.steps[0].name
    return CallState(
        progress=Progress(steps=tuple(protocol.saga.steps), position=1),
        status=SagaStatus.RUNNING,
        book=frozenset({BarrierEntryModel(Direction.DO, accepted, is_done=True)}),
        acts=(Act(Direction.DO, accepted),),
        ends=(),
        way=(),
        may_turn=scenario.is_turned_back,
        may_return=scenario.is_returned,
    )


def _explore(first: CallState, refused: str) -> Iterator[CallState]:
    """All reachable states, not merged, as each has its own way."""
    waiting = [first]
    while waiting:
        state = waiting.pop()
        yield state
        if len(state.way) < MOST_CALLS:
            waiting.extend(_next(state, refused))


def _next(state: CallState, refused: str) -> Iterator[CallState]:
    if state.status in FINAL:
        if state.may_return and state.status is SagaStatus.COMPLETED:
            transition = engine.give_back(
                progress=state.progress, code=refusals.STOPPED, detail="returned"
            )
            yield _moved(state._replace(may_return=False), transition)
        return
    if state.status is SagaStatus.PARKED:
        yield _moved(state, engine.retry(progress=state.progress))
        return
    if waits(state.book, state.progress.step.name) and state.progress.direction is Direction.DO:
        yield _decided(state, refused)
    else:
        yield _called(state, refused)
    if state.may_turn:
        yield from _turned_back(state._replace(may_turn=False), refused)


def _turned_back(state: CallState, refused: str) -> Iterator[CallState]:
    """Stopped before the call; or the call is given up, without its effect, or with it."""
    transition = engine.interrupt(
        progress=state.progress, code=refusals.STOPPED, detail="turned back"
    )
    if transition:
        yield _moved(state, transition)
    yield _given_up(state)
    yield _given_up(_effect(state, refused)[0])


def _given_up(state: CallState) -> CallState:
    """No answer, however often the engine retries."""
    due = (state.progress.position, state.progress.direction)
    for _ in range(engine.TRIES):
        state = _moved(state, _after(state, Fault("no answer")))
        now = (state.progress.position, state.progress.direction)
        if state.status is SagaStatus.PARKED or now != due:
            break
    return state


def _called(state: CallState, refused: str) -> CallState:
    then, answer = _effect(state, refused)
    return _moved(then, _after(state, answer))


def _effect(state: CallState, refused: str) -> tuple[CallState, CallResult]:
    """The service's effect and answer on the call that is due."""
    step, direction = state.progress.step.name, state.progress.direction
    known = stored(state.book, Direction.DO, step)
    answer = execute(
        book=state.book,
        direction=direction,
        step=step,
        is_refused=step == refused,
        asks=bool(state.progress.step.decided_by),
    )
    is_again = known is not None and direction is Direction.DO and state.progress.step.decided_by
    again = " again" if is_again else ""
    then = state._replace(book=answer.book, way=(*state.way, f"{direction} {step}{again}"))
    if answer.takes_effect:
        then = then._replace(acts=(*state.acts, Act(direction, step)))
    if answer.is_waiting:
        return then, Waiting(state.progress.step.decided_by, until=SOME_TIME)
    return then, Done({}) if answer.is_done else Refused(refusals.ABORTED)


def _decided(state: CallState, refused: str) -> CallState:
    """The decision at the step's service, while the saga waits here."""
    step = state.progress.step
    answer = decide(book=state.book, step=step.name, is_refused=step.name == refused)
    word = "no, or too late" if step.name == refused else "yes"
    way = (*state.way, f"{step.name}: {word} ({step.decided_by})")
    then = state._replace(book=answer.book, way=way)
    if answer.takes_effect:
        then = then._replace(acts=(*state.acts, Act(Direction.DO, step.name)))
    return then


def _after(state: CallState, answer: CallResult) -> Transition:
    return engine.after(progress=state.progress, answer=answer, draw=0.5)


def _moved(state: CallState, transition: Transition) -> CallState:
    ends = state.ends
    if transition.status in FINAL:
        ends = (*ends, _ENDINGS.get(transition.status, Ending.UNDONE))
    return state._replace(progress=transition.progress, status=transition.status, ends=ends)
