"""Every journey of a choreographed saga: each order in which messages in flight can be consumed.

A message is in flight until its consumer takes it; an abort may come at any moment. Each service
answers through the barrier: a known key publishes nothing again. A step that waits for a person is
decided at any moment after its request, unless it is withdrawn before.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from checker.protocol.description import Choreography, DescribedReaction, Ending
from checker.protocol.journeys import (
    Act,
    BarrierAnswer,
    BarrierEntryModel,
    Book,
    Course,
    Journey,
    Walked,
    decide,
    execute,
    scenarios,
    waits,
)
from contracts.saga import Direction


class WalkState(NamedTuple):
    """`flying`: each message in flight, with the index of the reaction that will consume it."""

    flying: tuple[tuple[str, int], ...]
    book: Book
    acts: tuple[Act, ...]
    ends: tuple[Ending, ...]
    may_abort: bool
    may_return: bool


Came = dict[WalkState, tuple[WalkState, str] | None]
"""How each state was first reached: from which state, on which message (empty: a request)."""


def walk(protocol: Choreography) -> Walked:
    """Every journey in every scenario."""
    journeys: dict[Course, list[Journey]] = {}
    states = 0
    for scenario in scenarios(
        saga=protocol.saga,
        can_turn_back=bool(protocol.abort),
        can_return=bool(protocol.giving_back),
    ):
        came = _explore(protocol, scenario)
        states += len(came)
        journeys[scenario] = [
            _journey(state, came) for state in came if not _next(protocol, state, "")
        ]
    return Walked(journeys, states)


def _explore(protocol: Choreography, scenario: Course) -> Came:
    first = _first(protocol, scenario)
    came: Came = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for taken, then in _next(protocol, state, scenario.refused):
            if then not in came:
                came[then] = (state, taken)
                waiting.append(then)
    return came


def _first(protocol: Choreography, scenario: Course) -> WalkState:
    """The saga is accepted, and the first message is in flight."""
    accepted = protocol.saga.steps[0].name
    state = WalkState(
        flying=(),
        book=frozenset({BarrierEntryModel(Direction.DO, accepted, is_done=True)}),
        acts=(Act(Direction.DO, accepted),),
        ends=(),
        may_abort=scenario.is_turned_back,
        may_return=scenario.is_returned,
    )
    return _published(protocol, state, protocol.start)


def _next(protocol: Choreography, state: WalkState, refused: str) -> list[tuple[str, WalkState]]:
    """All next states: a message in flight is consumed, a step is decided, or an abort or a return
    is requested.

    An abort may be requested even after the end, which the user may not know yet.
    """
    then = [_consume(protocol, state, place, refused) for place in range(len(state.flying))]
    then += [
        _decided(protocol, state, reaction, is_refused=reaction.step == refused)
        for reaction in protocol.reactions
        if reaction.direction is Direction.DO and waits(state.book, reaction.step)
    ]
    if state.may_abort:
        asked = state._replace(may_abort=False)
        then.append(("", _published(protocol, asked, protocol.abort)))
    if state.may_return and state.ends == (Ending.COMPLETED,):
        asked = state._replace(may_return=False)
        then.append(("", _published(protocol, asked, protocol.giving_back)))
    return then


def _consume(
    protocol: Choreography, state: WalkState, place: int, refused: str
) -> tuple[str, WalkState]:
    message, index = state.flying[place]
    reaction = protocol.reactions[index]
    answer = execute(
        book=state.book,
        direction=reaction.direction,
        step=reaction.step,
        is_refused=reaction.step == refused,
        asks=_is_asked(protocol, reaction),
    )
    then = state._replace(flying=state.flying[:place] + state.flying[place + 1 :])
    return message, _answered(protocol, then, reaction, answer)


def _is_asked(protocol: Choreography, reaction: DescribedReaction) -> bool:
    """Whether a person decides the step; a reaction may name a step that does not exist."""
    return any(step.name == reaction.step and step.decided_by for step in protocol.saga.steps)


def _decided(
    protocol: Choreography, state: WalkState, reaction: DescribedReaction, *, is_refused: bool
) -> tuple[str, WalkState]:
    """The event is published in the transaction of the decision, as if the request came now."""
    answer = decide(book=state.book, step=reaction.step, is_refused=is_refused)
    who = protocol.saga.step(reaction.step).decided_by
    word = "no, or too late" if is_refused else "yes"
    taken = f"{reaction.step}: {word} ({who})"
    return taken, _answered(protocol, state, reaction, answer)


def _answered(
    protocol: Choreography, state: WalkState, reaction: DescribedReaction, answer: BarrierAnswer
) -> WalkState:
    """A step that waits publishes nothing."""
    then = state._replace(book=answer.book)
    if answer.takes_effect:
        then = then._replace(acts=(*state.acts, Act(reaction.direction, reaction.step)))
    emits = reaction.emits if answer.is_done else reaction.emits_on_refusal
    is_published = answer.is_fresh and not answer.is_waiting and emits
    return _published(protocol, then, emits) if is_published else then


def _published(protocol: Choreography, state: WalkState, message: str) -> WalkState:
    """The message is in flight to every consumer."""
    taken = [
        (message, n) for n, reaction in enumerate(protocol.reactions) if reaction.on == message
    ]
    state = state._replace(flying=tuple(sorted([*state.flying, *taken])))
    if message in protocol.ends:
        state = state._replace(ends=(*state.ends, protocol.ends[message]))
    return state


def _journey(last: WalkState, came: Came) -> Journey:
    return Journey(last.acts, last.ends, tuple(_way(last, came))[::-1])


def _way(state: WalkState, came: Came) -> Iterator[str]:
    while step := came[state]:
        state, taken = step
        if taken:
            yield taken
