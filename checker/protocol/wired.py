"""The protocols of the catalogue's sagas, read from the registered definitions, operations,
consumers and routes.

Nothing is copied here: a changed definition, operation or route is checked as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.urls import Resolver404, URLResolver
from django.urls.resolvers import RegexPattern

from catalogue import SAGAS, services
from catalogue.commands import COMMANDS
from checker.protocol.description import (
    Call,
    Choreography,
    DescribedReaction,
    DescribedSaga,
    Ending,
    Notice,
    Orchestration,
    Protocol,
)
from contracts import patterns, projection
from contracts.saga import Direction, Saga, Step
from messaging.brokers import connect
from messaging.consumer import Consumer
from messaging.handlers import CommandHandler, EventHandler
from participant.operations import Operation, all_in


class Workers(NamedTuple):
    """The consumers of every service's worker; `broken`: workers that can't be made, and why."""

    consumers: list[Consumer]
    broken: dict[str, str]


def catalogue() -> list[Protocol]:
    """The protocols of all sagas of the catalogue."""
    return [protocol for saga in SAGAS.values() for protocol in protocols(saga=saga)]


def protocols(*, saga: Saga) -> list[Protocol]:
    """A saga's definition, and the saga in each pattern; all patterns must equal the first."""
    return [definition(saga=saga), *(make(saga=saga) for make in PROTOCOLS.values())]


def definition(*, saga: Saga) -> DescribedSaga:
    """The definition, and what the services have registered for it."""
    workers = _workers()
    taking = projection.services_of(saga)
    declared = [row for service in taking for row in _declared(service)]
    return DescribedSaga(
        name=f"{saga.name}, its definition",
        saga=saga,
        operations={
            (name, direction): operation.command for name, direction, operation in declared
        },
        deciding={name for name, _, operation in declared if operation.decide},
        inboxes={service for service in taking if _view(service, "/decisions") is not None},
        commands=COMMANDS,
        services=services.BY_NAME,
        databases=set(settings.DATABASES),
        workers={consumer.service for consumer in workers.consumers},
        broken=workers.broken,
        patterns=patterns.PATTERNS,
        has_door=_view(saga.owner, saga.door) is not None,
    )


def choreographed(*, saga: Saga) -> Choreography:
    """The reactions of the workers' consumers, and the events from outside."""
    consumers = _workers().consumers
    coordinator = patterns.PATTERNS[patterns.CHOREOGRAPHED].coordinator
    first, last = saga.steps[0], saga.steps[-1]
    return Choreography(
        name=f"{saga.name}, {patterns.CHOREOGRAPHED}",
        saga=saga,
        reactions=list(_reactions(consumers, saga, EventHandler)),
        asked={
            first.done: saga.owner,
            saga.abort: coordinator,
            saga.give_back: coordinator,
        },
        start=first.done,
        abort=saga.abort,
        giving_back=saga.give_back,
        ends={last.done: Ending.COMPLETED, first.undone: Ending.UNDONE},
        declared=set(projection.events(saga.name)),
        notices=_notices(consumers, saga, coordinator),
        watched=_consumed_by(coordinator, consumers, saga),
    )


def orchestrated(*, saga: Saga) -> Orchestration:
    """The orchestrator's calls, and the operations behind the services' routes."""
    calls = [
        Call(_call(saga, call), call.step.service, call.direction, call.step.name)
        for call in projection.calls(saga.name)
    ]
    return Orchestration(
        name=f"{saga.name}, {patterns.ORCHESTRATED}",
        saga=saga,
        orchestrator=patterns.PATTERNS[patterns.ORCHESTRATED].coordinator,
        calls=calls,
        reactions=[reaction for call in calls for reaction in _routed(saga, call)],
    )


def orchestrated_messaging(*, saga: Saga) -> Orchestration:
    """The orchestrator's requests, the services' handlers, and the replies that it consumes."""
    consumers = _workers().consumers
    orchestrator = patterns.PATTERNS[patterns.ORCHESTRATED_MESSAGING].coordinator
    return Orchestration(
        name=f"{saga.name}, {patterns.ORCHESTRATED_MESSAGING}",
        saga=saga,
        orchestrator=orchestrator,
        calls=[
            Call(call.request, call.step.service, call.direction, call.step.name)
            for call in projection.calls(saga.name)
        ],
        reactions=list(_reactions(consumers, saga, CommandHandler)),
        replies=_consumed_by(orchestrator, consumers, saga),
        notices=_notices(consumers, saga, orchestrator),
    )


PROTOCOLS: dict[str, Callable[..., Choreography | Orchestration]] = {
    patterns.ORCHESTRATED: orchestrated,
    patterns.ORCHESTRATED_MESSAGING: orchestrated_messaging,
    patterns.CHOREOGRAPHED: choreographed,
}
"""By pattern."""


def _workers() -> Workers:
    """The workers' consumers, not running: nothing connects to a broker."""
    broker, found = connect("memory://"), Workers([], {})
    for config in apps.get_app_configs():
        if hasattr(config, "worker_components"):
            try:
                parts = config.worker_components(broker)
            except LookupError as error:  # an operation that the service does not declare
                found.broken[config.name] = str(error.args[0])
            else:
                found.consumers.extend(part for part in parts if isinstance(part, Consumer))
    return found


def _declared(service: str) -> Iterator[tuple[str, Direction, Operation]]:
    """The operations that a service declares: name (`inventario.reserve`), direction, operation."""
    if find_spec(service) and find_spec(f"{service}.operations"):
        found = all_in(import_module(f"{service}.operations"))
        for (action, direction), operation in found.items():
            yield f"{service}.{action}", direction, operation


def _reactions(
    consumers: Sequence[Consumer], saga: Saga, kind: type[EventHandler] | type[CommandHandler]
) -> Iterator[DescribedReaction]:
    for consumer in consumers:
        for reaction in consumer.reactions.values():
            if isinstance(reaction, kind) and reaction.saga == saga.name:
                yield _reaction(consumer.service, saga.step(reaction.step), reaction)


def _reaction(
    service: str, step: Step, handler: EventHandler | CommandHandler
) -> DescribedReaction:
    """A reply has the same name whether the step was done or refused."""
    emits = (
        (handler.emits, handler.emits) if isinstance(handler, CommandHandler) else handler.row[4:]
    )
    return DescribedReaction(
        handler.on, service, handler.operation.direction, _done(handler.operation, step), *emits
    )


def _done(operation: Operation, step: Step) -> str:
    """The step's name if the operation is the step's; otherwise the operation's name."""
    name = operation.full_name
    return step.name if name == step.operation else name


def _consumed_by(service: str, consumers: Sequence[Consumer], saga: Saga) -> set[str]:
    """The events of a saga that a coordinator consumes."""
    return {
        event
        for consumer in consumers
        for (name, event), handler in consumer.reactions.items()
        if consumer.service == service and name == saga.name and event not in projection.NOTICES
        if not isinstance(handler, EventHandler | CommandHandler)
    }


def _notices(consumers: Sequence[Consumer], saga: Saga, coordinator: str) -> dict[str, Notice]:
    """Each service of the saga publishes that a message is dead-lettered; a service with a waiting
    step also publishes the wait.
    """
    keys = [(consumer.service, key) for consumer in consumers for key in consumer.reactions]
    published_by = {
        projection.STEP_PARKED: sorted(projection.services_of(saga)),
        projection.STEP_WAITING: sorted({step.service for step in saga.steps if step.decided_by}),
    }
    return {
        notice: Notice(
            published_by=tuple(who),
            received_by=(coordinator,) if (coordinator, (saga.name, notice)) in keys else (),
        )
        for notice, who in published_by.items()
        if who
    }


def _call(saga: Saga, call: projection.StepCall) -> str:
    """The path of the call, with the step's name if several steps share the operation."""
    path = projection.path_of(call.step, call.direction)
    is_shared = [step.operation for step in saga.steps].count(call.step.operation) > 1
    return f"{path} {call.step.name}" if is_shared else path


def _routed(saga: Saga, call: Call) -> Iterator[DescribedReaction]:
    """The operation behind the path at the service, if there is one."""
    view = _view(call.service, call.message.partition(" ")[0])
    operation = getattr(getattr(view, "view_class", None), "operation", None)
    if isinstance(operation, Operation):
        step = _done(operation, saga.step(call.step))
        yield DescribedReaction(call.message, operation.service, operation.direction, step)


def _view(service: str, path: str) -> Any:
    """The view that answers a path at a service, or None."""
    try:
        return _resolver(service).resolve(path).func
    except (Resolver404, ModuleNotFoundError):
        return None


@cache
def _resolver(service: str) -> URLResolver:
    """Resolves all paths of a service. Raises ModuleNotFoundError."""
    own = import_module(f"{service}.urls").urlpatterns
    config = apps.get_app_config(service)
    urls = [*(config.urls() if hasattr(config, "urls") else ()), *own]
    return URLResolver(RegexPattern(r"^/"), urls)
