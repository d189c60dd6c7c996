"""A protocol as a graph: who does what, and on which outcome who goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

from checker.protocol.description import Choreography, Ending, Orchestration, Reaction
from contracts.outcomes import Done, Refused
from contracts.saga import Direction, StepClass
from contracts.states import FINAL, SagaStatus
from saga_orchestrator import engine
from saga_orchestrator.engine import Answer, Fault, Move, Progress


class Outcome(NamedTuple):
    """What may come of it, and the names of the boxes that go on then. `is_good`: not refused."""

    text: str
    to: tuple[str, ...]
    is_good: bool = True


class Box(NamedTuple):
    """Somebody does something. `who`: the service; an ending has nobody, and no outcomes."""

    name: str
    who: str
    what: str
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The boxes, in the order in which they come up; `title`: for who can't see them."""

    title: str
    boxes: Sequence[Box]


@singledispatch
def graph_of(protocol: object) -> Graph:
    """The graph of a choreography, or of an orchestration."""
    raise TypeError(f"no protocol: {protocol!r}")


@graph_of.register
def _choreographed(protocol: Choreography) -> Graph:
    boxes = [
        Box(event, who, _asks(protocol, event), (_event(protocol, event),))
        for event, who in protocol.asked.items()
    ]
    reacting = {_name(one): one for one in protocol.reactions}
    boxes += [_reacting(protocol, one) for one in reacting.values()]
    boxes += [Box(_end(ending), "", ending) for ending in dict.fromkeys(protocol.ends.values())]
    return Graph(title=f"{protocol.name}: who reacts to what", boxes=boxes)


def _asks(protocol: Choreography, event: str) -> str:
    asked = {protocol.start: "start", protocol.abort: "abort", protocol.giving_back: "return"}
    return asked.get(event, "ask")


def _reacting(protocol: Choreography, one: Reaction) -> Box:
    """All reactions that do the same thing say the same things, whatever they hear."""
    outcomes = [_event(protocol, one.says)] if one.says else []
    if one.says_if_refused:
        outcomes.append(_event(protocol, one.says_if_refused)._replace(is_good=False))
    return Box(_name(one), one.service, f"{one.direction} {one.step}", tuple(outcomes))


def _event(protocol: Choreography, event: str) -> Outcome:
    to = [_name(one) for one in protocol.reactions if one.hears == event]
    if event in protocol.ends:
        to.append(_end(protocol.ends[event]))
    return Outcome(event, tuple(dict.fromkeys(to)))


def _name(reaction: Reaction) -> str:
    return f"{reaction.service} {reaction.direction} {reaction.step}"


def _end(ending: Ending) -> str:
    return f"end {ending}"


@graph_of.register
def _orchestrated(protocol: Orchestration) -> Graph:
    """From what the engine answers to each outcome of each call."""
    first = Progress(steps=tuple(protocol.saga.steps), position=1)
    boxes = [Box("start", protocol.conductor, "start", (Outcome("started", (_call(first),)),))]
    waiting, seen = [first], {_call(first)}
    while waiting:
        progress = waiting.pop(0)
        moves = list(_moves(progress))
        outcomes = [Outcome(text, (_next(move),), good) for text, move, good in moves]
        boxes.append(Box(_call(progress), progress.step.service, _call(progress), tuple(outcomes)))
        for _, move, _ in moves:
            if move.status not in FINAL and _call(move.progress) not in seen:
                seen.add(_call(move.progress))
                waiting.append(move.progress)
    boxes += [Box(_end(ending), "", ending) for ending in Ending]
    title = f"{protocol.name}: whom {protocol.conductor} tells what"
    return Graph(title=title, boxes=boxes)


def _moves(progress: Progress) -> Iterator[tuple[str, Move, bool]]:
    """What may come of the call, and what follows; what only parks it is left out."""
    words = {Direction.BLOCK: ("it had happened", "blocked")}
    done, refused = words.get(progress.direction, ("done", "refused"))
    yield done, _after(progress, Done({})), True
    if progress.direction is not Direction.UNDO and _may_refuse(progress):
        yield refused, _after(progress, Refused("no")), False
    for _ in range(engine.TRIES - 1):
        progress = _after(progress, Fault("no answer")).progress
    given_up = _after(progress, Fault("no answer"))
    if given_up.status is not SagaStatus.PARKED:
        yield "given up", given_up, False


def _may_refuse(progress: Progress) -> bool:
    return progress.step.step_class is not StepClass.RETRIABLE


def _after(progress: Progress, answer: Answer) -> Move:
    return engine.after(progress=progress, answer=answer, draw=0.5)


def _call(progress: Progress) -> str:
    return f"{progress.direction} {progress.step.name}"


def _next(move: Move) -> str:
    if move.status in FINAL:
        is_completed = move.status is SagaStatus.COMPLETED
        return _end(Ending.COMPLETED if is_completed else Ending.UNDONE)
    return _call(move.progress)
