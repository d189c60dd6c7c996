"""The shop's own protocols, read from what is really registered: consumers, routes, steps.

Nothing is copied here: change a table of reactions, a route or the list of steps, and what is
checked changes with it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from django.apps import apps
from django.urls import Resolver404, resolve

from checker.protocol.description import Call, Choreography, Ending, Notice, Orchestration, Reaction
from contracts import events
from contracts.commands import Checkout
from contracts.sagas import CHECKOUT, Step
from contracts.statuses import Pattern
from messaging.answering import Answer
from messaging.brokers import connect
from messaging.consumer import Consumer
from messaging.reactions import SagaReaction
from saga_choreography import facts, state
from saga_choreography.checkout import SERVICE
from saga_choreography.entries import Stage
from saga_choreography.models import Action
from saga_choreography.tracking import ASKS, Tracking
from sagas.operations import Kind, Operation

CONDUCTOR = "saga_orchestrator"
_ENDINGS = {Stage.COMPLETED: Ending.COMPLETED, Stage.ENDED: Ending.UNDONE}


def choreographed() -> Choreography:
    """What the workers' consumers react to, and what saga_choreography says from outside."""
    consumers = list(_consumers())
    start = _start()
    return Choreography(
        name=Pattern.CHOREOGRAPHED,
        saga=CHECKOUT,
        reactions=[
            _reaction(consumer.service, one)
            for consumer in consumers
            for one in consumer.reactions.values()
            if isinstance(one, SagaReaction)
        ],
        asked=dict.fromkeys([start, *ASKS.values()], SERVICE),
        start=start,
        abort=ASKS[Action.ABORT],
        giving_back=ASKS[Action.RETURN],
        ends={
            event: _ENDINGS[stage]
            for event, stage in state.STAGE_AFTER.items()
            if stage in _ENDINGS
        },
        declared=_declared(),
        notices={events.STEP_PARKED: _giving_up(consumers)},
        # `start` writes its event to the trail in the transaction that says it.
        watched={start, *_watched(consumers)},
    )


def orchestrated() -> Orchestration:
    """What the list of steps has the conductor call, and what the services' routes do then."""
    calls = [call for step in CHECKOUT.steps for call in _calls(step)]
    return Orchestration(
        name=Pattern.ORCHESTRATED,
        saga=CHECKOUT,
        conductor=CONDUCTOR,
        calls=calls,
        reactions=[reaction for call in calls for reaction in _routed(call)],
    )


def orchestrated_messaging() -> Orchestration:
    """What the list of steps has the conductor ask for, who answers, and what it then hears."""
    consumers = list(_consumers())
    return Orchestration(
        name=Pattern.ORCHESTRATED_MESSAGING,
        saga=CHECKOUT,
        conductor=CONDUCTOR,
        calls=[call for step in CHECKOUT.steps for call in _requests(step)],
        reactions=[
            _reaction(consumer.service, one)
            for consumer in consumers
            for one in consumer.reactions.values()
            if isinstance(one, Answer)
        ],
        replies={
            event
            for consumer in consumers
            for event, one in consumer.reactions.items()
            if consumer.service == CONDUCTOR and one.hears != events.STEP_PARKED
        },
    )


def _consumers() -> Iterator[Consumer]:
    """Those that `manage.py worker` runs, in every service. Nothing connects until it runs."""
    broker = connect("memory://")
    for config in apps.get_app_configs():
        for part in config.worker_parts(broker) if hasattr(config, "worker_parts") else ():
            if isinstance(part, Consumer):
                yield part


def _reaction(service: str, one: SagaReaction | Answer) -> Reaction:
    """A reply is called the same whether it was done or refused."""
    refused = one.says if isinstance(one, Answer) else one.says_if_refused
    return Reaction(one.hears, service, one.operation.kind, one.step, one.says, refused)


def _watched(consumers: list[Consumer]) -> set[str]:
    return {
        event
        for consumer in consumers
        for event, one in consumer.reactions.items()
        if isinstance(one, Tracking)
    }


def _giving_up(consumers: list[Consumer]) -> Notice:
    """Every service that does a step says where it has set a message aside for good."""
    reactions = [
        (one.service, reaction) for one in consumers for reaction in one.reactions.values()
    ]
    return Notice(
        said_by=tuple(sorted({service for service, one in reactions if one.step})),
        heard_by=tuple(service for service, one in reactions if one.hears == events.STEP_PARKED),
    )


def _start() -> str:
    """What is said at the start, from the very function that says it."""
    made_up = Checkout(
        saga_id="made-up",
        cart_id="made-up",
        user_id="made-up",
        items=[],
        total_amount=Decimal(0),
        payment_method="made-up",
        saga_pattern=Pattern.CHOREOGRAPHED,
    )
    return facts.initiated(checkout=made_up, now=datetime.now(UTC)).type


def _declared() -> frozenset[str]:
    """The events that `contracts.events` names."""
    return frozenset(
        value
        for name, value in vars(events).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    )


def _calls(step: Step) -> Iterator[Call]:
    """The acceptance is done before the saga begins: it is only ever undone."""
    paths = {Kind.DO: step.do, Kind.UNDO: step.undo, Kind.BLOCK: step.block}
    for kind, path in paths.items():
        if path and not (kind is Kind.DO and step is CHECKOUT.steps[0]):
            yield Call(path, step.service, kind, step.name)


def _requests(step: Step) -> Iterator[Call]:
    asked = {
        Kind.DO: step.do_request,
        Kind.UNDO: step.undo_request,
        Kind.BLOCK: step.block_request,
    }
    for kind, request in asked.items():
        if request:
            yield Call(request, step.service, kind, step.name)


def _routed(call: Call) -> Iterator[Reaction]:
    """The operation behind the path at the service, if there is one."""
    try:
        view = resolve(call.message, urlconf=f"{call.service}.urls").func
    except Resolver404:
        return
    operation = getattr(getattr(view, "view_class", None), "operation", None)
    if isinstance(operation, Operation):
        yield Reaction(call.message, operation.service, operation.kind, operation.step)
