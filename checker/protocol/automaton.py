"""A saga as an automaton of two states, `ok` and `error`, and its transfer functions.

Each transfer function is a row: in this state, on this event, a service does (undoes, blocks) its
step; what it says then leads to a state, or ends the saga.
"""

from collections.abc import Iterator
from typing import NamedTuple

from contracts import projection
from contracts.saga import Direction, Saga

OK, ERROR, END = "ok", "error", "end"
_VERBS = {Direction.DO: "does", Direction.UNDO: "undoes", Direction.BLOCK: "blocks"}


class Transfer(NamedTuple):
    """In `state`, on `event`, `what` is done; if then `says` is said, it leads to `to`."""

    state: str
    event: str
    what: str
    says: str
    to: str


def transfers(*, saga: Saga) -> Iterator[Transfer]:
    """All of them. A return leads an ended saga from ok to error; a block that comes too late
    changes nothing, and is left out.
    """
    end, undone = saga.steps[-1].done, saga.steps[0].undone
    for row in projection.reactions(saga.name):
        what = f"{row.service} {_VERBS[row.direction]} {row.step.name}"
        is_return = row.event == saga.give_back
        state = ERROR if row.direction is Direction.UNDO and not is_return else OK
        if row.says:
            forward = END if row.says == end else OK
            backward = END if row.says == undone else ERROR
            to = forward if row.direction is Direction.DO else backward
            yield Transfer(state, row.event, what, row.says, to)
        if row.says_if_refused:
            yield Transfer(state, row.event, what, row.says_if_refused, ERROR)


def as_text(*, saga: Saga) -> str:
    """Both states, with what happens in each and which event leads out of it."""
    found = list(transfers(saga=saga))
    lines = [f"{saga.name}: starts in ok (POST {saga.door} says {saga.steps[0].done})"]
    for state in (OK, ERROR):
        lines += ["", f"state {state}"]
        rows = [one for one in found if one.state == state]
        for event, what in dict.fromkeys((one.event, one.what) for one in rows):
            lines.append(f"  on {event}: {what}")
            lines += [f"      {one.says} -> {one.to}" for one in rows if one[1:3] == (event, what)]
    return "\n".join(lines) + "\n"


def as_mermaid(*, saga: Saga) -> str:
    """A state diagram, ready for a ```mermaid block."""
    lines = ["stateDiagram-v2", f"    [*] --> ok : {saga.steps[0].done}"]
    for one in transfers(saga=saga):
        to = "[*]" if one.to == END else one.to
        lines.append(f"    {one.state} --> {to} : on {one.event} {one.what}, {one.says}")
    return "\n".join(lines) + "\n"
