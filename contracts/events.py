"""The envelope of events. Their names are those of the sagas' definitions.

Fields are added, never renamed; a reader of an older version ignores unknown fields.

Any program may publish on the broker: `decode` decides what is an event, and every event that it
returns can be stored, read back, passed on and shown.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from contracts import bounds
from contracts.bounds import CauseId, IdRead, Traceparent
from contracts.outcomes import Described, Failure

EVENTS, COMMANDS, REPLIES = "saga_events", "saga_commands", "saga_replies"
"""The exchanges."""
LONGEST_DETAIL = 10_000

_NAMESPACE = uuid.UUID("6f0c9c9c-6f0e-4f0d-9d5e-3b5b8f1f6a10")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event.

    `context`: of the saga, frozen when it was accepted; passed on unchanged. `result`: of the
    operation. `failure`: why the saga goes backward, once it does. `requested_at`: when the service
    took the work up; with `occurred_at`, when it was done, this tells waiting from working.
    """

    context: msgspec.Raw
    result: Mapping[str, Any] = {}
    failure: Failure | None = None
    requested_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope. `saga`: the name of the saga, which gives `type` its meaning. `cause_id`: the
    event that caused this one. `redrive`: published again on purpose.
    """

    id: IdRead
    type: IdRead
    saga_id: IdRead
    saga: IdRead
    occurred_at: datetime
    data: Facts
    cause_id: CauseId = ""
    traceparent: Traceparent = ""
    redrive: bool = False

    @property
    def route(self) -> str:
        """Its routing key, on every broker: its saga and its type."""
        return route(self.saga, self.type)


class InvalidMessage(Described, ValueError):
    """The body is no event, and never will be; the text says why."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)
_ESCAPE = re.compile(
    rb"""\\(?: u(?P<nul>0000)
         | u[dD][89abAB]..\\u[dD][c-fC-F]..  # both halves of a character
         | u(?P<half>[dD][89a-fA-F]..)
         | . )""",
    re.DOTALL | re.VERBOSE,
)


def encode(event: Event) -> bytes:
    """The event as JSON."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The event in `body`. Raises InvalidMessage, and nothing else, if `body` is no event."""
    if len(body) > bounds.MOST_BYTES_OF_A_MESSAGE:
        raise InvalidMessage(f"more than {bounds.MOST_BYTES_OF_A_MESSAGE} bytes")
    try:
        if not body.isascii():
            body.decode()
        if b"\\" in body and b"\\u" in body:
            _check_escapes(body)
        if bounds.is_deeper(body, than=bounds.MOST_DEPTH_OF_A_MESSAGE):
            raise InvalidMessage(
                f"no JSON, or more than {bounds.MOST_DEPTH_OF_A_MESSAGE} levels of it"
            )
        event = _decoder.decode(body)
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise InvalidMessage(str(error)) from error
    _check_bounds(event)
    return event


def _check_escapes(body: bytes) -> None:
    """Refuses characters that JSON can write, but no database or no UTF-8 can hold."""
    for found in _ESCAPE.finditer(body):
        if found["nul"]:
            raise InvalidMessage("a text with the character NUL")
        if found["half"]:
            raise InvalidMessage(
                f"a text with half a character, {found[0].decode(errors='replace')}"
            )


def _check_bounds(event: Event) -> None:
    _check_time(event.occurred_at)
    if event.data.requested_at:
        _check_time(event.data.requested_at)
    if event.data.failure:
        _check_failure(event.data.failure)


def _check_time(time: datetime) -> None:
    if time.tzinfo is None or not bounds.EARLIEST_YEAR <= time.year <= bounds.LATEST_YEAR:
        raise InvalidMessage(
            f"times are from {bounds.EARLIEST_YEAR} to {bounds.LATEST_YEAR}, with an offset:"
            f" not {time}"
        )


def _check_failure(failure: Failure) -> None:
    longest = max(len(failure.step), len(failure.code))
    if longest > bounds.MOST_ID or len(failure.detail) > LONGEST_DETAIL:
        raise InvalidMessage("failure: its step, code or detail is too long")


def route(saga: str, event: str) -> str:
    """The routing key of an event, request or reply of a saga: `checkout.inventory.reserved`."""
    return f"{saga}.{event}"


def event_id(*, saga_id: str, step: str, direction: str, attempt: int = 1) -> str:
    """The id of a step's event in a direction (RFC 4122, version 5): the same whenever the event of
    this attempt is published again. A step is done or refused, never both: both have the id of
    its `do`.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{saga_id} {step} {direction} {attempt}"))
