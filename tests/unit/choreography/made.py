"""Made-up contexts, and events of sagas, for the tests of the choreography."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from contracts import events
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from contracts.saga import Context
from saga_choreography.store import EventBody, TrackedEvent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

FORWARD = [
    "checkout.initiated",
    "inventory.reserved",
    "payment.processed",
    "order.created",
    "inventory.committed",
    "checkout.completed",
]
OUT_OF_STOCK = [
    "checkout.initiated",
    "inventory.reserve.failed",
    "checkout.failed",
]
DECLINED = [
    "checkout.initiated",
    "inventory.reserved",
    "payment.failed",
    "inventory.unreserved",
    "checkout.failed",
]
ABORTED = [
    *FORWARD[:4],
    "checkout.abort.requested",
    "inventory.commit.failed",
    "order.cancelled",
    "payment.refunded",
    "inventory.unreserved",
    "checkout.failed",
]
RETURNED = [
    *FORWARD,
    "checkout.return.requested",
    "inventory.restored",
    "order.cancelled",
    "payment.refunded",
    "inventory.unreserved",
    "checkout.failed",
]
STORIES = {
    "completed": FORWARD,
    "out of stock": OUT_OF_STOCK,
    "declined": DECLINED,
    "aborted": ABORTED,
    "returned": RETURNED,
}

FAILURES = {
    "out of stock": Failure("reserve_inventory", "out_of_stock", "none left"),
    "declined": Failure("process_payment", "card_declined", "no"),
    "aborted": Failure("commit_inventory", "deadline_passed", "too late"),
    "returned": Failure("commit_inventory", "stopped", "sent back"),
}
UNDOING = {
    "inventory.restored",
    "order.cancelled",
    "payment.refunded",
    "inventory.unreserved",
}
TURNS = {
    "inventory.reserve.failed",
    "payment.failed",
    "checkout.abort.requested",
    "checkout.return.requested",
}


def context(saga_id: str = "s", *, saga: str = "checkout", **changes: Any) -> Context:
    """A saga's context; a checkout's, unless another saga is named."""
    fields: dict[str, Any] = {
        "saga": saga,
        "saga_id": saga_id,
        "pattern": "choreographed",
        "subject": f"subject of {saga_id}",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "data": {
            "items": [{"product_id": "1", "quantity": 2}],
            "total_amount": "25.00",
            "payment_method": "credit_card",
        },
    }
    return Context(**(fields | changes))


def story(name: str, *, saga_id: str = "s", begin: datetime = NOON) -> list[Event]:
    """The events of a saga that takes this course, in order, a second apart."""
    types = STORIES[name]
    turned = next((i for i, event_type in enumerate(types) if event_type in TURNS), len(types))
    return [
        event(
            event_type,
            saga_id=saga_id,
            at=begin + timedelta(seconds=i),
            failure=_failure(name, set(types[: i + 1])) if i >= turned else None,
        )
        for i, event_type in enumerate(types)
    ]


def _failure(name: str, seen_types: set[str]) -> Failure:
    return msgspec.structs.replace(FAILURES[name], undone=bool(seen_types & UNDOING))


def event(
    event_type: str,
    *,
    saga_id: str = "s",
    saga: str = "checkout",
    at: datetime = NOON,
    failure: Failure | None = None,
    results: dict[str, Any] | None = None,
    **result: Any,
) -> Event:
    """`results`: of earlier steps, as its context has them."""
    carried = context(saga_id, saga=saga, results=results or {})
    return Event(
        id=events.event_id(saga_id=saga_id, step=event_type, direction="do"),
        type=event_type,
        saga_id=saga_id,
        saga=saga,
        occurred_at=at,
        data=Facts(
            context=msgspec.Raw(msgspec.json.encode(carried)),
            result=result,
            failure=failure,
            requested_at=at - timedelta(milliseconds=100),
        ),
        traceparent=carried.traceparent,
    )


def seen(event: Event) -> TrackedEvent:
    return TrackedEvent(
        saga_id=event.saga_id,
        event_type=event.type,
        event_id=event.id,
        cause_id=event.cause_id,
        requested_at=event.data.requested_at,
        occurred_at=event.occurred_at,
        seen_at=event.occurred_at,
        data=EventBody(result=event.data.result, failure=event.data.failure),
    )
