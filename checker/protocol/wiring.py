"""Rules on publishers and consumers, and on the list of steps, before any journey is walked."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from checker.protocol.description import (
    Call,
    Choreography,
    DescribedReaction,
    Found,
    Orchestration,
    Protocol,
    Rule,
    may_be_refused,
    pivot_of,
)
from contracts.saga import Direction, StepClass

_ORDER = [StepClass.COMPENSABLE, StepClass.PIVOT, StepClass.RETRIABLE]


def _misshapen(protocol: Protocol) -> Iterator[Found]:
    steps = protocol.saga.steps
    if [step.step_class for step in steps].count(StepClass.PIVOT) > 1:
        yield Found(protocol.saga.name, "it has two pivots: either could be the last to refuse.")
    for before, after in pairwise(steps):
        if _ORDER.index(before.step_class) > _ORDER.index(after.step_class):
            what = f"{after.name} ({after.step_class}) comes after {before.name}"
            yield Found(after.name, f"{what} ({before.step_class}): it could not be undone.")
    for step in steps:
        if step.step_class is StepClass.COMPENSABLE and not step.undone:
            yield Found(step.name, f"{step.name} is compensable, and nothing undoes it.")


SHAPE = Rule(
    "shape",
    "steps that can be undone come first, then at most one pivot, then what must succeed",
    "reorder the steps, or give the step its undo",
    _misshapen,
)


# Of a choreographed saga


def publishers(protocol: Choreography) -> Mapping[str, Sequence[str]]:
    """The publishers of each event: services, and users from outside."""
    published: dict[str, list[str]] = defaultdict(list)
    for event, who in protocol.asked.items():
        published[event].append(who)
    for reaction in protocol.reactions:
        for event in _emits(reaction):
            published[event].append(reaction.service)
    for event, notice in protocol.notices.items():
        published[event].extend(notice.published_by)
    return published


def consumers(protocol: Choreography) -> Mapping[str, Sequence[DescribedReaction]]:
    """The reactions to each event; the watcher only observes, and is not among them."""
    received: dict[str, list[DescribedReaction]] = defaultdict(list)
    for reaction in protocol.reactions:
        received[reaction.on].append(reaction)
    return received


def _emits(reaction: DescribedReaction) -> list[str]:
    return [event for event in (reaction.emits, reaction.emits_on_refusal) if event]


def _unpublished(protocol: Choreography) -> Iterator[Found]:
    published, received = publishers(protocol), consumers(protocol)
    silent = {event for event, who in protocol.notices.items() if not who.published_by}
    for event in sorted({*received, *protocol.ends, *protocol.declared} - set(published) | silent):
        who = " and ".join(sorted({reaction.service for reaction in received.get(event, ())}))
        waits = f"{who} waits for it" if who else "it is declared"
        yield Found(event, f"no service publishes {event}; {waits}.")


def _unreceived(protocol: Choreography) -> Iterator[Found]:
    received = consumers(protocol)
    for event, who in sorted(publishers(protocol).items()):
        noticed = event in protocol.notices and protocol.notices[event].received_by
        if event not in received and event not in protocol.ends and not noticed:
            watched = (
                " (observing does not count as handling)"
                if event in (protocol.watched or ())
                else ""
            )
            yield Found(
                event, f"{_who(who)} publishes {event}, and no service reacts to it{watched}."
            )
        if event in received and event in protocol.ends:
            what = f"{event} is declared as an end, and {received[event][0]} goes on"
            yield Found(event, f"{what}.")


def _unanswered(protocol: Choreography) -> Iterator[Found]:
    steps = {step.name: step for step in protocol.saga.steps}
    for reaction in protocol.reactions:
        if reaction.direction is not Direction.BLOCK and not reaction.emits:
            yield Found(str(reaction), f"{reaction} publishes nothing once it is done.")
        can_refuse = reaction.direction is Direction.BLOCK
        if reaction.direction is Direction.DO and reaction.step in steps:
            can_refuse = may_be_refused(steps[reaction.step])
        if can_refuse and not reaction.emits_on_refusal:
            yield Found(str(reaction), f"{reaction} may be refused, and then publishes nothing.")
        if reaction.emits_on_refusal and not can_refuse:
            yield Found(
                str(reaction),
                f"{reaction} can't be refused, but emits {reaction.emits_on_refusal} then.",
            )


def _ambiguous(protocol: Choreography) -> Iterator[Found]:
    meanings_of: dict[str, set[str]] = defaultdict(set)
    for reaction in protocol.reactions:
        step = (
            reaction.step
            if reaction.direction is not Direction.UNDO
            else f"undoing {reaction.step}"
        )
        if reaction.emits:
            meanings_of[reaction.emits].add(f"{step} is done")
        if reaction.emits_on_refusal:
            meanings_of[reaction.emits_on_refusal].add(f"{step} is refused")
    for event, who in protocol.asked.items():
        meanings_of[event].add(f"{who} asks")
    for event, meanings in sorted(meanings_of.items()):
        if len(meanings) > 1:
            both = " or that ".join(sorted(meanings))
            yield Found(event, f"{event} may mean that {both}: a consumer can't know which.")


def _rivals(protocol: Choreography) -> Iterator[Found]:
    for event, reactions in sorted(consumers(protocol).items()):
        going_on = [reaction for reaction in reactions if _emits(reaction)]
        if len(going_on) > 1:
            both = " and ".join(
                f"{reaction.service} ({reaction.direction} {reaction.step})"
                for reaction in going_on
            )
            yield Found(event, f"after {event} both {both} carry the saga on.")


def _other_deciders(protocol: Choreography) -> Iterator[Found]:
    """Only the pivot's barrier may decide between an abort and the sale."""
    pivot = pivot_of(protocol.saga)
    for reaction in consumers(protocol).get(protocol.abort, ()):
        if pivot is None or (reaction.direction, reaction.step) != (Direction.BLOCK, pivot.name):
            name = pivot.name if pivot else "a pivot"
            does = f"{reaction.service} does {reaction.direction} {reaction.step}"
            yield Found(
                protocol.abort,
                f"on {protocol.abort} {does} at once:"
                f" whether the saga can still be stopped is decided without the barrier of {name}.",
            )


def _circular(protocol: Choreography) -> Iterator[Found]:
    """The first cycle that is found, apart from the declared ones."""
    leads = {
        event: [
            after
            for reaction in received
            for after in _emits(reaction)
            if not any({event, after} <= declared for declared in protocol.cycles)
        ]
        for event, received in consumers(protocol).items()
    }
    try:
        TopologicalSorter(leads).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][:0:-1]
        start = ring.index(min(ring))
        path = " > ".join([*ring[start:], *ring[: start + 1]])
        yield Found(ring[start], f"a cycle: {path}.")


def _unwatched(protocol: Choreography) -> Iterator[Found]:
    for event, who in sorted(publishers(protocol).items()):
        if event not in {*(protocol.watched or ()), *protocol.notices}:
            yield Found(
                event, f"{_who(who)} publishes {event}, and the watcher does not consume it."
            )


def _unowned(protocol: Choreography) -> Iterator[Found]:
    """Reactions that do another service's step, or a step that does not exist."""
    owners = {step.name: step.service for step in protocol.saga.steps}
    for reaction in protocol.reactions:
        owner = owners.get(reaction.step)
        if owner is None:
            yield Found(str(reaction), f"{reaction}: the saga has no such step.")
        elif owner != reaction.service:
            yield Found(str(reaction), f"{reaction}: that step is {owner}'s.")


def _who(services: Sequence[str]) -> str:
    return " and ".join(sorted(set(services)))


PUBLISHED = (
    SHAPE,
    Rule(
        "published",
        "every event that is consumed, or declared, is published by a service",
        "make the right service publish the event, or remove it from the tables",
        _unpublished,
    ),
    Rule(
        "received",
        "every event that is published leads to a reaction of a service, or is an end",
        "add a reaction in the service whose turn it is, or declare the event as an end",
        _unreceived,
    ),
    Rule(
        "owner",
        "every step is done, undone and blocked by the service that owns it",
        "move the reaction to the service that has the step's tables",
        _unowned,
    ),
    Rule(
        "answered",
        "every outcome of a step has an event",
        "name the event for this outcome in the reaction (`emits`, `emits_on_refusal`)",
        _unanswered,
    ),
    Rule(
        "meaning",
        "every event has one meaning",
        "give each outcome a separate event",
        _ambiguous,
    ),
    Rule(
        "decider",
        "no event makes two services continue, and only the pivot's barrier decides an abort",
        "let one service decide, and the other consume its event",
        lambda protocol: [*_rivals(protocol), *_other_deciders(protocol)],
    ),
    Rule(
        "cycle",
        "there is no cycle that is not declared",
        "break the cycle, or declare it (`cycles`)",
        _circular,
    ),
)
WATCHED = Rule(
    "watched",
    "the watcher consumes every event, as it can redrive a saga only from what it saw",
    "add the event to the watcher's reactions",
    _unwatched,
)


# Of an orchestrated saga


def _uncalled(protocol: Orchestration) -> Iterator[Found]:
    called = {(call.direction, call.step) for call in protocol.calls}
    wanted = [
        (direction, step.name)
        for step in protocol.saga.steps
        for direction in Direction
        if step.can(direction)
    ]
    for direction, step in wanted[1:]:  # the acceptance is done before the saga begins
        if (direction, step) not in called:
            yield Found(step, f"{protocol.orchestrator} has no call for {direction} {step}.")


def _unanswered_call(protocol: Orchestration) -> Iterator[Found]:
    for call in protocol.calls:
        who = _answering(protocol, call)
        if not who:
            yield Found(call.message, f"{call.message}: no handler at {call.service} answers it.")
        if len(who) > 1:
            what = f"{call.message}: {len(who)} handlers at {call.service} answer it"
            yield Found(call.message, f"{what}.")
        for reaction in protocol.reactions:
            if reaction.on == call.message and reaction.service != call.service:
                what = f"{call.message}: {reaction.service} answers it too"
                yield Found(call.message, f"{what}; it is for {call.service}.")


def _misdirected(protocol: Orchestration) -> Iterator[Found]:
    owners = {step.name: step.service for step in protocol.saga.steps}
    for call in protocol.calls:
        owner = owners.get(call.step, "no service")
        if owner != call.service:
            yield Found(call.message, f"{call.message}: {call.step} is {owner}'s.")
        for reaction in _answering(protocol, call):
            if (reaction.direction, reaction.step) != (call.direction, call.step):
                asked, done = (
                    f"{call.direction} {call.step}",
                    f"{reaction.direction} {reaction.step}",
                )
                what = f"{call.message} asks for {asked}, {reaction.service} does {done}."
                yield Found(call.message, what)


def _astray(protocol: Orchestration) -> Iterator[Found]:
    published = {
        reply
        for reaction in protocol.reactions
        for reply in (reaction.emits, reaction.emits_on_refusal)
        if reply
    }
    for reply in sorted(published - set(protocol.replies or ())):
        yield Found(
            reply, f"{reply} is published, and {protocol.orchestrator} does not consume it."
        )
    for reply in sorted(set(protocol.replies or ()) - published):
        yield Found(
            reply, f"{protocol.orchestrator} waits for {reply}, and no service publishes it."
        )
    for notice, who in protocol.notices.items():
        if not who.received_by:
            published_by = _who(who.published_by)
            yield Found(
                notice,
                f"{published_by} publishes {notice},"
                f" and {protocol.orchestrator} does not consume it.",
            )


def _answering(protocol: Orchestration, call: Call) -> Sequence[DescribedReaction]:
    return [
        reaction
        for reaction in protocol.reactions
        if reaction.on == call.message and reaction.service == call.service
    ]


CALLED = (
    SHAPE,
    Rule(
        "called",
        "every step, undo and block has a call",
        "add the path, or the message, of the step",
        _uncalled,
    ),
    Rule(
        "answered",
        "every call is answered by exactly one handler at its service",
        "route the call to its operation, and to no other",
        _unanswered_call,
    ),
    Rule(
        "owner",
        "every call reaches its step, at the service that owns it",
        "correct the path (or the message) in the list of steps, or the route at the service",
        _misdirected,
    ),
)
REPLIES = Rule(
    "replies",
    "the orchestrator consumes every reply and notice, and all that it waits for are published",
    "make the orchestrator consume it, or the service publish it",
    _astray,
)


def rules_for(protocol: Choreography | Orchestration) -> Sequence[Rule]:
    """Without a watcher `watched` does not apply, nor does `replies` if they come back on calls."""
    if isinstance(protocol, Choreography):
        return PUBLISHED if protocol.watched is None else (*PUBLISHED, WATCHED)
    return CALLED if protocol.replies is None else (*CALLED, REPLIES)
