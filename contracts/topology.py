"""The exchanges and queues, the bindings of each queue, and which service may publish what: all of
it follows from the sagas' definitions and the patterns' coordinators.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from contracts import projection
from contracts.events import COMMANDS, EVENTS, REPLIES, route
from contracts.patterns import CHOREOGRAPHED, COORDINATORS, ORCHESTRATED_MESSAGING, PATTERNS
from contracts.saga import SAGAS

EXCHANGES = (EVENTS, COMMANDS, REPLIES)
"""Topic exchanges; the routing key is the message's route, and decides which exchange it is."""
DEAD = f"{EVENTS}.dead"
"""The exchange of messages that queues dead-letter."""
WATCHING = PATTERNS[CHOREOGRAPHED].coordinator
ASKING = PATTERNS[ORCHESTRATED_MESSAGING].coordinator

MessageType = tuple[str, str]
"""A saga's name, and the type of message within it."""


@cache
def services() -> tuple[str, ...]:
    """The services that have a queue: all participants, and the coordinators."""
    part = (service for saga in SAGAS.values() for service in projection.services_of(saga))
    return tuple(dict.fromkeys([*part, WATCHING, ASKING, *sorted(COORDINATORS)]))


def queue_of(*, service: str) -> str:
    """The name of the service's queue."""
    return f"dueto.{service}"


@cache
def publishers() -> Mapping[MessageType, frozenset[str]]:
    """The services that may publish each type of message: for an event those of its steps."""
    found: dict[MessageType, set[str]] = {}
    for message, service in _published():
        found.setdefault(message, set()).add(service)
    return {message: frozenset(services) for message, services in found.items()}


def _published() -> Iterator[tuple[MessageType, str]]:
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
def consumed_by(service: str) -> frozenset[MessageType]:
    """The messages that the service's queue is bound to."""
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
    """The routing keys that the service's queue is bound to, in order."""
    return sorted(route(*message) for message in consumed_by(service))


def exchange_of(*, message_type: str) -> str:
    """The exchange of a message, on brokers that have exchanges: events, requests or replies."""
    return _exchanges().get(message_type, EVENTS)


@cache
def _exchanges() -> Mapping[str, str]:
    requests = {route(*request): COMMANDS for request in projection.requests()}
    return requests | {route(*reply): REPLIES for reply in projection.replies()}


@cache
def published_by(service: str) -> Mapping[str, tuple[str, ...]]:
    """By exchange, the routing keys under which a service publishes, in order."""
    keys = sorted(route(*message) for message, who in publishers().items() if service in who)
    return {
        exchange: tuple(key for key in keys if exchange_of(message_type=key) == exchange)
        for exchange in EXCHANGES
    }
