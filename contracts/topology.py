"""Which exchanges and queues there are, what each queue is bound to, and who may publish what: all
of it follows from the sagas' pages, and from who coordinates the patterns.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from contracts import projection
from contracts.events import COMMANDS, EVENTS, REPLIES, route
from contracts.patterns import CHOREOGRAPHED, COORDINATORS, ORCHESTRATED_MESSAGING, PATTERNS
from contracts.saga import SAGAS

EXCHANGES = (EVENTS, COMMANDS, REPLIES)
"""Topic exchanges; the routing key is the message's type, which also says which of them it is."""
DEAD = f"{EVENTS}.dead"
"""The exchange of what queues give up."""
WATCHING = PATTERNS[CHOREOGRAPHED].coordinator
ASKING = PATTERNS[ORCHESTRATED_MESSAGING].coordinator

MessageType = tuple[str, str]
"""A saga's name, and the type of message within it."""


@cache
def services() -> tuple[str, ...]:
    """Who has a queue: all who take part in a saga, and the coordinators."""
    part = (service for saga in SAGAS.values() for service in projection.services_of(saga))
    return tuple(dict.fromkeys([*part, WATCHING, ASKING, *sorted(COORDINATORS)]))


def queue_of(*, service: str) -> str:
    """The name of the service's queue."""
    return f"dueto.{service}"


@cache
def speakers() -> Mapping[MessageType, frozenset[str]]:
    """Which services may publish each type of message: of an event those of its steps."""
    found: dict[MessageType, set[str]] = {}
    for message, service in _said():
        found.setdefault(message, set()).add(service)
    return {message: frozenset(services) for message, services in found.items()}


def _said() -> Iterator[tuple[MessageType, str]]:
    for name, saga in SAGAS.items():
        for step in saga.steps:
            for event in filter(None, (step.done, step.refused, step.undone)):
                yield (name, event), step.service
        for event in (saga.abort, saga.give_back, *projection.APPEALS):
            yield (name, event), WATCHING
        for service in projection.services_of(saga):
            for event in projection.NOTICES:
                yield (name, event), service
        for call in projection.calls(name):
            yield (name, call.request), ASKING
            yield (name, projection.reply_to(call.request)), call.step.service


@cache
def heard_by(service: str) -> frozenset[MessageType]:
    """What the service's queue is bound to."""
    found = {(row.saga, row.event) for row in projection.of_service(service)}
    found |= {(call.saga, call.request) for call in projection.asked_of(service)}
    for name, saga in SAGAS.items():
        if service in projection.services_of(saga):
            found |= {(name, event) for event in projection.APPEALS}
        if service == WATCHING:
            found |= {(name, event) for event in projection.events(name)}
        if service in (WATCHING, ASKING):
            found |= {(name, event) for event in projection.NOTICES}
    return frozenset(found | projection.replies() if service == ASKING else found)


def bindings_of(*, service: str) -> list[str]:
    """The routing keys that its queue is bound to, in order."""
    return sorted(route(*message) for message in heard_by(service))


def exchange_of(*, message_type: str) -> str:
    """Names the exchange, where a broker has such: of events, of requests, of replies to them."""
    return _exchanges().get(message_type, EVENTS)


@cache
def _exchanges() -> Mapping[str, str]:
    requests = {route(*request): COMMANDS for request in projection.requests()}
    return requests | {route(*reply): REPLIES for reply in projection.replies()}


@cache
def says(service: str) -> Mapping[str, tuple[str, ...]]:
    """By exchange, the routing keys under which a service publishes, in order."""
    keys = sorted(route(*message) for message, who in speakers().items() if service in who)
    return {
        exchange: tuple(key for key in keys if exchange_of(message_type=key) == exchange)
        for exchange in EXCHANGES
    }
