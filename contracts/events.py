"""What a service says has happened: the envelope, and the names.

Fields are added, never renamed; unknown fields are ignored by whoever reads an older version.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from contracts import bounds
from contracts.bounds import CauseId, Id, Traceparent
from contracts.outcomes import Failure

CHECKOUT_INITIATED = "checkout.initiated"
INVENTORY_RESERVED = "inventory.reserved"
INVENTORY_RESERVE_FAILED = "inventory.reserve.failed"
INVENTORY_UNRESERVED = "inventory.unreserved"
INVENTORY_COMMITTED = "inventory.committed"
INVENTORY_COMMIT_FAILED = "inventory.commit.failed"
INVENTORY_RESTORED = "inventory.restored"
PAYMENT_PROCESSED = "payment.processed"
PAYMENT_FAILED = "payment.failed"
PAYMENT_REFUNDED = "payment.refunded"
ORDER_CREATED = "order.created"
ORDER_CREATE_FAILED = "order.create.failed"
ORDER_CANCELLED = "order.cancelled"
CHECKOUT_COMPLETED = "checkout.completed"
CHECKOUT_FAILED = "checkout.failed"
CHECKOUT_ABORT_REQUESTED = "checkout.abort.requested"
CHECKOUT_RETURN_REQUESTED = "checkout.return.requested"
STEP_PARKED = "step.parked"
"""A service has set a message aside for a person, and the saga waits there."""

_NAMESPACE = uuid.UUID("6f0c9c9c-6f0e-4f0d-9d5e-3b5b8f1f6a10")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an event carries.

    `context`: what the saga is about, frozen when it was accepted; passed on as it came.
    `result`: what the operation answered. `failure`: why the saga goes backward, once it does.
    `requested_at`: when the service picked the work up, so that waiting and working can be told
    apart (occurred_at is when the work was done).
    """

    context: msgspec.Raw
    result: Mapping[str, Any] = {}
    failure: Failure | None = None
    requested_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope. `cause_id`: the event that set this one off. `nudge`: said again on purpose."""

    id: Id
    type: Id
    saga_id: Id
    saga: Id
    occurred_at: datetime
    data: Facts
    cause_id: CauseId = ""
    traceparent: Traceparent = ""
    nudge: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The event as JSON."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The event in `body`. Raises msgspec.DecodeError or ValidationError if there is none."""
    bounds.require_no_nul(body)
    return _decoder.decode(body)


def event_id(*, saga_id: str, event_type: str) -> str:
    """The id of this event of this saga: the same whenever it is said (RFC 4122, version 5)."""
    return str(uuid.uuid5(_NAMESPACE, f"{saga_id} {event_type}"))
