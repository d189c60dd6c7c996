"""The AsyncAPI document (3.0) of all messages: the events of every saga, and the requests and
replies of sagas that are orchestrated by message.

A channel is a routing key, `checkout.inventory.reserved`; its publishers and consumers follow from
the sagas' definitions, as everything else does.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from contracts import events, refusals
from contracts.outcomes import NOTHING_TO_UNDO
from contracts.projection import (
    NOTICES,
    REDRIVE_REQUESTED,
    SKIP_REQUESTED,
    STEP_WAITING,
    calls,
    data_type,
    reactions,
    reply_to,
    services_of,
)
from contracts.projection import (
    events as events_of,
)
from contracts.saga import ANSWERS, COMMANDS, SAGAS, Answers, Command, Context, Direction, Undo
from contracts.schemas import Schema, Schemas
from contracts.topology import ASKING, WATCHING, publishers

_EMPTY: Schema = {"type": "object", "maxProperties": 0}
_SKIPPED: Schema = {
    "type": "object",
    "description": "An operator has skipped the step, and said why.",
    "required": ["skipped"],
    "properties": {"skipped": {"type": "string"}},
}
_NOTHING: Schema = {
    "type": "object",
    "description": "There was nothing to undo.",
    "required": list(NOTHING_TO_UNDO.data),
}
_PARKED: Schema = {
    "type": "object",
    "required": ["service", "event"],
    "properties": {"service": {"type": "string"}, "event": {"type": "string"}},
}
_WAITING: Schema = {
    "type": "object",
    "required": ["step", "decided_by", "until", "cause"],
    "properties": {
        "step": {"type": "string"},
        "decided_by": {"type": "string"},
        "until": {"type": "string", "format": "date-time"},
        "cause": {"type": "string"},
    },
}


_APPEALS: dict[str, tuple[str, Schema]] = {
    REDRIVE_REQUESTED: (
        "The service that published this event is asked to publish it again.",
        {
            "type": "object",
            "required": ["event"],
            "properties": {"event": {"type": "string"}},
        },
    ),
    SKIP_REQUESTED: (
        "An operator has skipped a step: its service is asked to record and publish that.",
        {
            "type": "object",
            "required": ["reaction", "skipped"],
            "properties": {"reaction": {"type": "string"}, "skipped": {"type": "string"}},
        },
    ),
}


class Sent(NamedTuple):
    """A kind of message. `facts`: the fields of its `data` that are its own."""

    saga: str
    name: str
    exchange: str
    what: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    facts: Schema
    reply: str = ""

    @property
    def route(self) -> str:
        return events.route(self.saga, self.name)


def document() -> dict[str, Any]:
    """The document of all registered sagas."""
    schemas = Schemas(_types())
    sent = [message for name in SAGAS for message in _all_of(name, schemas)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Messages of the sagas",
            "version": "1",
            "description": "Delivered at least once; fields are added, never renamed.",
        },
        "defaultContentType": "application/json",
        "channels": {message.route: _channel(message) for message in sent},
        "operations": dict(operation for message in sent for operation in _operations(message)),
        "components": {
            "messages": {message.route: _message(message, schemas) for message in sent},
            "schemas": schemas.components,
        },
    }


def _types() -> list[Any]:
    answers = [
        ANSWERS.get(step.operation, Answers()) for saga in SAGAS.values() for step in saga.steps
    ]
    return [
        events.Event,
        Context,
        Command,
        Undo,
        *COMMANDS.values(),
        *(data_type(name) for name in SAGAS),
        *(kind for answer in answers for kind in (answer.done, answer.undone)),
    ]


def _all_of(name: str, schemas: Schemas) -> Iterator[Sent]:
    """A saga's messages: events in the order of its definition, notices, requests, replies."""
    context = _context(name, schemas)
    for event in dict.fromkeys(events_of(name)):
        consumers = [row.service for row in reactions(name) if row.event == event]
        yield Sent(
            name,
            event,
            events.EVENTS,
            _what(name, event),
            tuple(sorted(publishers()[name, event])),
            tuple(dict.fromkeys([*consumers, WATCHING])),
            {"context": context, "result": _result(name, event, schemas)},
        )
    for event in NOTICES:
        yield Sent(
            name,
            event,
            events.EVENTS,
            "A step waits for a decision."
            if event == STEP_WAITING
            else "A message needs an operator.",
            services_of(SAGAS[name]),
            (WATCHING, ASKING),
            {"result": _WAITING if event == STEP_WAITING else _PARKED},
        )
    for event, (what, result) in _APPEALS.items():
        yield Sent(
            *(name, event, events.EVENTS, what, (WATCHING,), services_of(SAGAS[name])),
            {"context": context, "result": result},
        )
    for call in calls(name):
        reply = reply_to(call.request)
        about = f"{call.direction} {call.step.operation}, step {call.step.name}."
        answers = ANSWERS.get(call.step.operation, Answers())
        service = call.step.service
        kind = COMMANDS.get(call.step.operation, Command)
        asked = schemas.of(kind if call.direction is Direction.DO else Undo)
        facts: Schema = {"context": asked, "result": _EMPTY}
        yield Sent(
            *(name, call.request, events.COMMANDS, f"Asks for: {about}"),
            *((ASKING,), (service,), facts),
            events.route(name, reply),
        )
        facts = {"context": {"type": "null"}, **_reply(answers, call.direction, schemas)}
        yield Sent(
            *(name, reply, events.REPLIES, f"The outcome of: {about}"),
            *((service,), (ASKING,), facts),
        )


def _context(name: str, schemas: Schemas) -> Schema:
    """The saga's context. `data` is missing if it could not be read any more."""
    kept = {
        step: {"type": "object", "required": sorted(fields)}
        for step, fields in _needed(name).items()
    }
    own = {
        "saga": {"const": name},
        "data": schemas.of(data_type(name)),
        "results": {"type": "object", "properties": kept},
    }
    return {"allOf": [schemas.of(Context), {"properties": own}]}


def _needed(name: str) -> dict[str, set[str]]:
    """By step, the fields of its result that later steps need."""
    found: dict[str, set[str]] = {}
    for step in SAGAS[name].steps:
        for source in step.needs.values():
            earlier, dot, field = source.partition(".")
            if dot:
                found.setdefault(earlier, set()).add(field)
    return found


def _what(name: str, event: str) -> str:
    saga = SAGAS[name]
    for step in saga.steps:
        words = {step.done: "is done", step.refused: "is refused", step.undone: "is undone"}
        if event in words:
            return f"{step.name} ({step.operation}) {words[event]}."
    return f"The saga is asked to {'end' if event == saga.abort else 'be given back'}."


def _result(name: str, event: str, schemas: Schemas) -> Schema:
    """Of a step that was done or undone; empty for a refusal and for a request from outside."""
    for position, step in enumerate(SAGAS[name].steps):
        answers = ANSWERS.get(step.operation, Answers())
        if event == step.done:
            done = schemas.of(answers.done)
            return {"anyOf": [done, *([] if position else [_EMPTY]), _SKIPPED]}
        if event == step.undone:
            return {"anyOf": [schemas.of(answers.undone), _NOTHING, _SKIPPED]}
    return {"anyOf": [_EMPTY, _SKIPPED]}


def _reply(answers: Answers, direction: Direction, schemas: Schemas) -> Schema:
    """The result, or the refusal as `failure`."""
    is_undo = direction is Direction.UNDO
    kind = answers.undone if is_undo else answers.done
    codes = () if is_undo else (*answers.refuses, refusals.ABORTED)
    refused = {"type": "object", "properties": {"code": {"enum": list(codes)}}} if codes else {}
    return {
        "result": {"anyOf": [schemas.of(kind), _EMPTY, _NOTHING]},
        "failure": {"anyOf": [{"type": "null"}, *([refused] if codes else [])]},
    }


def _channel(sent: Sent) -> dict[str, Any]:
    return {
        "address": sent.route,
        "description": sent.what,
        "messages": {sent.route: {"$ref": f"#/components/messages/{sent.route}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": sent.exchange, "type": "topic", "durable": True},
            }
        },
    }


def _operations(sent: Sent) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operations of senders and receivers: `pagos.sends.checkout.payment.processed`."""
    for action, services in (("send", sent.senders), ("receive", sent.receivers)):
        for service in services:
            found: dict[str, Any] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{sent.route}"},
                "summary": sent.what,
                "tags": [{"name": service}],
            }
            if sent.reply:
                found["reply"] = {"channel": {"$ref": f"#/channels/{sent.reply}"}}
            yield f"{service}.{action}s.{sent.route}", found


def _message(sent: Sent, schemas: Schemas) -> dict[str, Any]:
    own = {
        "type": {"const": sent.name},
        "saga": {"const": sent.saga},
        "data": {"type": "object", "properties": sent.facts},
    }
    payload = {"allOf": [schemas.of(events.Event), {"type": "object", "properties": own}]}
    return {
        "name": sent.route,
        "summary": sent.what,
        "payload": payload,
        "examples": [{"payload": _example(sent, schemas)}],
    }


def _example(sent: Sent, schemas: Schemas) -> dict[str, Any]:
    data = {name: _value(schema, schemas) for name, schema in sent.facts.items()}
    return {
        "id": events.event_id(saga_id="example", step=sent.name, direction="do"),
        "type": sent.name,
        "saga_id": schemas.example({"type": "string"}, "saga_id"),
        "saga": sent.saga,
        "occurred_at": "2026-12-01T09:30:00Z",
        "data": {"context": None, **data},
        "cause_id": "",
        "traceparent": "",
        "redrive": False,
    }


def _value(schema: Schema, schemas: Schemas) -> Any:
    if "allOf" in schema:
        first, own = schema["allOf"]
        parts = {name: _value(field, schemas) for name, field in own["properties"].items()}
        return {**schemas.example(first), **parts}
    return schemas.example(schema)
