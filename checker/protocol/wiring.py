"""Rules on who says what and who hears it in a choreographed saga; nothing is walked yet."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from checker.protocol.description import Choreography, Reaction, may_be_refused, pivot_of
from checker.protocol.rings import rings
from checker.protocol.rules import Found, Rule
from checker.protocol.shape import SHAPE, unowned
from contracts.saga import Direction


def sayers(protocol: Choreography) -> Mapping[str, Sequence[str]]:
    """Who says each event: the services, and whoever asks from outside."""
    said: dict[str, list[str]] = defaultdict(list)
    for event, who in protocol.asked.items():
        said[event].append(who)
    for one in protocol.reactions:
        for event in _says(one):
            said[event].append(one.service)
    for event, notice in protocol.notices.items():
        said[event].extend(notice.said_by)
    return said


def hearers(protocol: Choreography) -> Mapping[str, Sequence[Reaction]]:
    """Who does something on each event; the watcher does nothing, and is not among them."""
    heard: dict[str, list[Reaction]] = defaultdict(list)
    for one in protocol.reactions:
        heard[one.hears].append(one)
    return heard


def _says(reaction: Reaction) -> list[str]:
    return [event for event in (reaction.says, reaction.says_if_refused) if event]


def _unsaid(protocol: Choreography) -> Iterator[Found]:
    said, heard = sayers(protocol), hearers(protocol)
    silent = {event for event, who in protocol.notices.items() if not who.said_by}
    for event in sorted({*heard, *protocol.ends, *protocol.declared} - set(said) | silent):
        who = " and ".join(sorted({one.service for one in heard.get(event, ())}))
        waits = f"{who} waits for it" if who else "it is declared"
        yield Found(event, f"nobody says {event}; {waits}.")


def _unheard(protocol: Choreography) -> Iterator[Found]:
    heard = hearers(protocol)
    for event, who in sorted(sayers(protocol).items()):
        noticed = event in protocol.notices and protocol.notices[event].heard_by
        if event not in heard and event not in protocol.ends and not noticed:
            watched = " (watching is not hearing)" if event in (protocol.watched or ()) else ""
            yield Found(event, f"{_who(who)} says {event}, and nobody reacts to it{watched}.")
        if event in heard and event in protocol.ends:
            yield Found(event, f"{event} is declared as an end, and {heard[event][0]} goes on.")


def _unanswered(protocol: Choreography) -> Iterator[Found]:
    steps = {step.name: step for step in protocol.saga.steps}
    for one in protocol.reactions:
        if one.direction is not Direction.BLOCK and not one.says:
            yield Found(str(one), f"{one} says nothing once that is done.")
        can_refuse = one.direction is Direction.BLOCK
        if one.direction is Direction.DO and one.step in steps:
            can_refuse = may_be_refused(steps[one.step])
        if can_refuse and not one.says_if_refused:
            yield Found(str(one), f"{one} may be refused, and says nothing then.")
        if one.says_if_refused and not can_refuse:
            yield Found(str(one), f"{one} can't be refused, and yet has {one.says_if_refused}.")


def _ambiguous(protocol: Choreography) -> Iterator[Found]:
    told: dict[str, set[str]] = defaultdict(set)
    for one in protocol.reactions:
        step = one.step if one.direction is not Direction.UNDO else f"undoing {one.step}"
        if one.says:
            told[one.says].add(f"{step} is done")
        if one.says_if_refused:
            told[one.says_if_refused].add(f"{step} is refused")
    for event, who in protocol.asked.items():
        told[event].add(f"{who} asks")
    for event, meanings in sorted(told.items()):
        if len(meanings) > 1:
            both = " or that ".join(sorted(meanings))
            yield Found(event, f"{event} may mean that {both}: whoever hears it can't know.")


def _rivals(protocol: Choreography) -> Iterator[Found]:
    for event, reactions in sorted(hearers(protocol).items()):
        going_on = [one for one in reactions if _says(one)]
        if len(going_on) > 1:
            both = " and ".join(f"{one.service} ({one.direction} {one.step})" for one in going_on)
            yield Found(event, f"after {event} both {both} carry the saga on.")


def _other_deciders(protocol: Choreography) -> Iterator[Found]:
    """The pivot's barrier decides between an abort and the sale; nothing else may."""
    pivot = pivot_of(protocol.saga)
    for one in hearers(protocol).get(protocol.abort, ()):
        if pivot is None or (one.direction, one.step) != (Direction.BLOCK, pivot.name):
            name = pivot.name if pivot else "a pivot"
            yield Found(
                protocol.abort,
                f"on {protocol.abort} {one.service} does {one.direction} {one.step} at once:"
                f" whether the saga can still be stopped is decided without the barrier of {name}.",
            )


def _circular(protocol: Choreography) -> Iterator[Found]:
    leads = {
        event: [e for one in heard for e in _says(one)]
        for event, heard in hearers(protocol).items()
    }
    for ring in rings(leads):
        if frozenset(ring) not in protocol.cycles:
            path = " > ".join([*ring, ring[0]])
            yield Found(ring[0], f"it goes round in a circle: {path}.")


def _unwatched(protocol: Choreography) -> Iterator[Found]:
    for event, who in sorted(sayers(protocol).items()):
        if event not in {*(protocol.watched or ()), *protocol.notices}:
            yield Found(event, f"{_who(who)} says {event}, and the watcher does not hear it.")


def _unowned(protocol: Choreography) -> Iterator[Found]:
    yield from unowned(protocol.saga, protocol.reactions)


def _who(services: Sequence[str]) -> str:
    return " and ".join(sorted(set(services)))


def rules_for(protocol: Choreography) -> Sequence[Rule]:
    """Where nobody watches, there is nothing to be seen."""
    return RULES if protocol.watched is None else (*RULES, WATCHED)


RULES = (
    SHAPE,
    Rule(
        "said",
        "every event that is heard, or declared, is said by somebody",
        "let the service that knows of it say it, or take the event out of the tables",
        _unsaid,
    ),
    Rule(
        "heard",
        "every event that is said is heard by who goes on with it, or is an end",
        "add a reaction to it in the service whose turn it is, or declare it as an end",
        _unheard,
    ),
    Rule(
        "owner",
        "every step is done, undone and blocked by the one service that owns it",
        "move the reaction to the service that has the step's tables",
        _unowned,
    ),
    Rule(
        "answered",
        "whatever can come of a step, something is said then",
        "give the reaction the event for this outcome (`says`, `says_if_refused`)",
        _unanswered,
    ),
    Rule(
        "meaning",
        "every event means one thing",
        "give each outcome an event of its own",
        _ambiguous,
    ),
    Rule(
        "decider",
        "no event lets two carry the saga on, and the pivot's barrier alone decides an abort",
        "let one service decide, and the other hear what it says",
        lambda protocol: [*_rivals(protocol), *_other_deciders(protocol)],
    ),
    Rule(
        "cycle",
        "nothing goes round in a circle, but what is declared to",
        "break the circle, or declare it (`cycles`)",
        _circular,
    ),
)
WATCHED = Rule(
    "watched",
    "every event is seen by the watcher, which can nudge a saga only from what it saw",
    "let the watcher's reactions name the event",
    _unwatched,
)
