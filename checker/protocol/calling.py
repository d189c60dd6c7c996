"""Rules on what a conductor calls, and who answers."""

from collections.abc import Iterator, Sequence

from checker.protocol.description import Call, Orchestration, Reaction
from checker.protocol.rules import Found, Rule
from checker.protocol.shape import SHAPE
from contracts.saga import Direction


def _uncalled(protocol: Orchestration) -> Iterator[Found]:
    called = {(one.direction, one.step) for one in protocol.calls}
    wanted = [
        (direction, step.name)
        for step in protocol.saga.steps
        for direction in Direction
        if step.can(direction)
    ]
    for direction, step in wanted[1:]:  # the acceptance is done before the saga begins
        if (direction, step) not in called:
            yield Found(step, f"{protocol.conductor} has no call for {direction} {step}.")


def _unanswered(protocol: Orchestration) -> Iterator[Found]:
    for call in protocol.calls:
        who = _answering(protocol, call)
        if not who:
            yield Found(call.message, f"{call.message}: nobody at {call.service} answers it.")
        if len(who) > 1:
            yield Found(call.message, f"{call.message}: {len(who)} at {call.service} answer it.")
        for one in protocol.reactions:
            if one.hears == call.message and one.service != call.service:
                what = f"{call.message}: {one.service} answers it too"
                yield Found(call.message, f"{what}; it is for {call.service}.")


def _misdirected(protocol: Orchestration) -> Iterator[Found]:
    owners = {step.name: step.service for step in protocol.saga.steps}
    for call in protocol.calls:
        owner = owners.get(call.step, "nobody")
        if owner != call.service:
            yield Found(call.message, f"{call.message}: {call.step} is {owner}'s.")
        for one in _answering(protocol, call):
            if (one.direction, one.step) != (call.direction, call.step):
                asked, done = f"{call.direction} {call.step}", f"{one.direction} {one.step}"
                what = f"{call.message} asks for {asked}, {one.service} does {done}."
                yield Found(call.message, what)


def _astray(protocol: Orchestration) -> Iterator[Found]:
    said = {reply for one in protocol.reactions for reply in one[4:] if reply}
    for reply in sorted(said - set(protocol.replies or ())):
        yield Found(reply, f"{reply} is said, and {protocol.conductor} does not hear it.")
    for reply in sorted(set(protocol.replies or ()) - said):
        yield Found(reply, f"{protocol.conductor} waits for {reply}, and nobody says it.")


def _answering(protocol: Orchestration, call: Call) -> Sequence[Reaction]:
    return [
        one
        for one in protocol.reactions
        if one.hears == call.message and one.service == call.service
    ]


def rules_for(protocol: Orchestration) -> Sequence[Rule]:
    """Where replies come back on the call itself none can go astray."""
    return RULES if protocol.replies is None else (*RULES, REPLIES)


RULES = (
    SHAPE,
    Rule(
        "called",
        "every step, undo and block has a call",
        "give the step its path, or its message",
        _uncalled,
    ),
    Rule(
        "heard",
        "every call is answered by exactly one at its service",
        "route the call to the operation that is to answer it, and to no other",
        _unanswered,
    ),
    Rule(
        "owner",
        "every call reaches the step that it is for, at the service that owns it",
        "correct the path (or the message) in the list of steps, or the route at the service",
        _misdirected,
    ),
)
REPLIES = Rule(
    "replies",
    "every reply is heard by the conductor, and every one that it waits for is said",
    "let the conductor listen to the reply, or the service say it",
    _astray,
)
