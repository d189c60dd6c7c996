"""Two pictures of a saga, as Mermaid and as text for a terminal.

A flowchart: each service's steps, and the next step for each outcome. An automaton of two states,
`ok` and `error`, whose rows are transfer functions: in this state, on this event, a service does
(undoes, blocks) its step; the event that it then publishes leads to a state, or ends the saga.
"""

from collections.abc import Iterator, Sequence
from functools import singledispatch
from typing import NamedTuple

from checker.protocol.description import (
    Choreography,
    DescribedReaction,
    Ending,
    Orchestration,
    may_be_refused,
)
from contracts import projection
from contracts.outcomes import Done, Refused
from contracts.saga import Direction, Saga
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import CallResult, Fault, Progress, Transition

OK, ERROR, END = "ok", "error", "end"
_VERBS = {Direction.DO: "does", Direction.UNDO: "undoes", Direction.BLOCK: "blocks"}


class Branch(NamedTuple):
    """An outcome, and the names of the boxes that follow. `is_good`: not refused."""

    text: str
    to: tuple[str, ...]
    is_good: bool = True


class Box(NamedTuple):
    """An action of the service `who`; an ending has no service and no outcomes."""

    name: str
    who: str
    what: str
    outcomes: tuple[Branch, ...] = ()


@singledispatch
def boxes_of(protocol: object) -> Sequence[Box]:
    """The boxes of the flowchart of a choreography, or of an orchestration."""
    raise TypeError(f"no protocol: {protocol!r}")


@boxes_of.register
def _choreographed(protocol: Choreography) -> Sequence[Box]:
    boxes = [
        Box(event, who, _asks(protocol, event), (_event(protocol, event),))
        for event, who in protocol.asked.items()
    ]
    reacting = {_name(reaction): reaction for reaction in protocol.reactions}
    boxes += [_reacting(protocol, reaction) for reaction in reacting.values()]
    return boxes + [_end(ending) for ending in dict.fromkeys(protocol.ends.values())]


def _asks(protocol: Choreography, event: str) -> str:
    asked = {protocol.start: "start", protocol.abort: "abort", protocol.giving_back: "return"}
    return asked.get(event, "ask")


def _reacting(protocol: Choreography, reaction: DescribedReaction) -> Box:
    """One box for all reactions that do the same: they publish the same events."""
    outcomes = [_event(protocol, reaction.emits)] if reaction.emits else []
    if reaction.emits_on_refusal:
        outcomes.append(_event(protocol, reaction.emits_on_refusal)._replace(is_good=False))
    return Box(
        _name(reaction), reaction.service, f"{reaction.direction} {reaction.step}", tuple(outcomes)
    )


def _event(protocol: Choreography, event: str) -> Branch:
    to = [_name(reaction) for reaction in protocol.reactions if reaction.on == event]
    if event in protocol.ends:
        to.append(_end(protocol.ends[event]).name)
    return Branch(event, tuple(dict.fromkeys(to)))


def _name(reaction: DescribedReaction) -> str:
    return f"{reaction.service} {reaction.direction} {reaction.step}"


def _end(ending: Ending) -> Box:
    return Box(f"end {ending}", "", ending)


@boxes_of.register
def _orchestrated(protocol: Orchestration) -> Sequence[Box]:
    """From the engine's transition for each outcome of each call."""
    first = Progress(steps=tuple(protocol.saga.steps), position=1)
    boxes = [Box("start", protocol.orchestrator, "start", (Branch("started", (_call(first),)),))]
    waiting, seen = [first], {_call(first)}
    for progress in waiting:
        transitions = list(_moves(progress))
        outcomes = [
            Branch(text, (_next(transition),), good) for text, transition, good in transitions
        ]
        boxes.append(Box(_call(progress), progress.step.service, _call(progress), tuple(outcomes)))
        for _, transition, _ in transitions:
            if transition.status not in FINAL and _call(transition.progress) not in seen:
                seen.add(_call(transition.progress))
                waiting.append(transition.progress)
    return boxes + [_end(ending) for ending in Ending]


def _moves(progress: Progress) -> Iterator[tuple[str, Transition, bool]]:
    """The outcomes of the call, and the transitions; one that only parks the saga is left out."""
    words = {Direction.BLOCK: ("it had happened", "blocked")}
    done, refused = words.get(progress.direction, ("done", "refused"))
    yield done, _after(progress, Done({})), True
    if progress.direction is not Direction.UNDO and may_be_refused(progress.step):
        yield refused, _after(progress, Refused("no")), False
    for _ in range(engine.TRIES - 1):
        progress = _after(progress, Fault("no answer")).progress
    given_up = _after(progress, Fault("no answer"))
    if given_up.status is not SagaStatus.PARKED:
        yield "given up", given_up, False


def _after(progress: Progress, answer: CallResult) -> Transition:
    return engine.after(progress=progress, answer=answer, draw=0.5)


def _call(progress: Progress) -> str:
    return f"{progress.direction} {progress.step.name}"


def _next(transition: Transition) -> str:
    if transition.status in FINAL:
        is_completed = transition.status is SagaStatus.COMPLETED
        return _end(Ending.COMPLETED if is_completed else Ending.UNDONE).name
    return _call(transition.progress)


def flowchart_as_mermaid(protocol: Choreography | Orchestration) -> str:
    """Ready for a ```mermaid block; refusals are dashed."""
    boxes = boxes_of(protocol)
    ids = {box.name: f"n{number}" for number, box in enumerate(boxes)}
    lines = ["flowchart TD"]
    for box in boxes:
        shape = f'["{box.who}<br/>{box.what}"]' if box.who else f'(["{box.what}"])'
        lines.append(f"    {ids[box.name]}{shape}")
    lines += [
        f"    {ids[box.name]} {'-->' if outcome.is_good else '-.->'}|{outcome.text}| {ids[to]}"
        for box in boxes
        for outcome in box.outcomes
        for to in outcome.to
    ]
    return "\n".join(lines) + "\n"


def flowchart_as_text(protocol: Choreography | Orchestration) -> str:
    """Each box, and below it its outcomes with the boxes that follow."""
    boxes = boxes_of(protocol)
    titles = {box.name: f"{box.who}: {box.what}" if box.who else box.what for box in boxes}
    lines = []
    for box in boxes:
        if box.outcomes:
            lines.append(titles[box.name])
        for outcome in box.outcomes:
            lines += [f"    {outcome.text} -> {titles[to]}" for to in outcome.to]
    return "\n".join(lines) + "\n"


class Transfer(NamedTuple):
    """In `state`, on `event`, `what` is done; if then `emits` is published, it leads to `to`."""

    state: str
    event: str
    what: str
    emits: str
    to: str


def transfers(*, saga: Saga) -> Iterator[Transfer]:
    """A return leads an ended saga from ok to error; a block that comes too late changes nothing,
    and is left out.
    """
    end, undone = saga.steps[-1].done, saga.steps[0].undone
    for row in projection.reactions(saga.name):
        what = f"{row.service} {_VERBS[row.direction]} {row.step.name}"
        is_return = row.event == saga.give_back
        state = ERROR if row.direction is Direction.UNDO and not is_return else OK
        if row.emits:
            forward = END if row.emits == end else OK
            backward = END if row.emits == undone else ERROR
            to = forward if row.direction is Direction.DO else backward
            yield Transfer(state, row.event, what, row.emits, to)
        if row.emits_on_refusal:
            yield Transfer(state, row.event, what, row.emits_on_refusal, ERROR)


def automaton_as_text(saga: Saga) -> str:
    """Both states, with the reactions in each and the events that lead out of it."""
    found = list(transfers(saga=saga))
    lines = [f"{saga.name}: starts in ok (POST {saga.door} publishes {saga.steps[0].done})"]
    for state in (OK, ERROR):
        lines += ["", f"state {state}"]
        rows = [transfer for transfer in found if transfer.state == state]
        for event, what in dict.fromkeys((row.event, row.what) for row in rows):
            lines.append(f"  on {event}: {what}")
            led = [row for row in rows if (row.event, row.what) == (event, what)]
            lines += [f"      {row.emits} -> {row.to}" for row in led]
    return "\n".join(lines) + "\n"


def automaton_as_mermaid(saga: Saga) -> str:
    """A state diagram, ready for a ```mermaid block."""
    lines = ["stateDiagram-v2", f"    [*] --> ok : {saga.steps[0].done}"]
    for transfer in transfers(saga=saga):
        to = "[*]" if transfer.to == END else transfer.to
        lines.append(
            f"    {transfer.state} --> {to} : on {transfer.event} {transfer.what}, {transfer.emits}"
        )
    return "\n".join(lines) + "\n"


FLOWCHARTS = {"mermaid": flowchart_as_mermaid, "text": flowchart_as_text}
AUTOMATA = {"mermaid": automaton_as_mermaid, "text": automaton_as_text}
