"""Made-up checkouts and events of them, for the tests of the choreography."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from contracts import events
from contracts.commands import Checkout, Line
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from saga_choreography.entries import Said, Seen

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

FORWARD = [
    events.CHECKOUT_INITIATED,
    events.INVENTORY_RESERVED,
    events.PAYMENT_PROCESSED,
    events.ORDER_CREATED,
    events.INVENTORY_COMMITTED,
    events.CHECKOUT_COMPLETED,
]
OUT_OF_STOCK = [
    events.CHECKOUT_INITIATED,
    events.INVENTORY_RESERVE_FAILED,
    events.CHECKOUT_FAILED,
]
DECLINED = [
    events.CHECKOUT_INITIATED,
    events.INVENTORY_RESERVED,
    events.PAYMENT_FAILED,
    events.INVENTORY_UNRESERVED,
    events.CHECKOUT_FAILED,
]
ABORTED = [
    *FORWARD[:4],
    events.CHECKOUT_ABORT_REQUESTED,
    events.INVENTORY_COMMIT_FAILED,
    events.ORDER_CANCELLED,
    events.PAYMENT_REFUNDED,
    events.INVENTORY_UNRESERVED,
    events.CHECKOUT_FAILED,
]
RETURNED = [
    *FORWARD,
    events.CHECKOUT_RETURN_REQUESTED,
    events.INVENTORY_RESTORED,
    events.ORDER_CANCELLED,
    events.PAYMENT_REFUNDED,
    events.INVENTORY_UNRESERVED,
    events.CHECKOUT_FAILED,
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
    events.INVENTORY_RESTORED,
    events.ORDER_CANCELLED,
    events.PAYMENT_REFUNDED,
    events.INVENTORY_UNRESERVED,
}
TURNS = {
    events.INVENTORY_RESERVE_FAILED,
    events.PAYMENT_FAILED,
    events.CHECKOUT_ABORT_REQUESTED,
    events.CHECKOUT_RETURN_REQUESTED,
}


def checkout(saga_id: str = "s", **changes: Any) -> Checkout:
    fields: dict[str, Any] = {
        "saga_id": saga_id,
        "cart_id": f"cart of {saga_id}",
        "user_id": "ana",
        "items": [Line("1", 2, Decimal("12.50"))],
        "total_amount": Decimal("25.00"),
        "payment_method": "credit_card",
        "saga_pattern": "choreographed",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    }
    return Checkout(**(fields | changes))


def story(name: str, *, saga_id: str = "s", begin: datetime = NOON) -> list[Event]:
    """The events of a saga that goes this way, in order, a second apart."""
    types = STORIES[name]
    turned = next((i for i, one in enumerate(types) if one in TURNS), len(types))
    return [
        event(
            one,
            saga_id=saga_id,
            at=begin + timedelta(seconds=i),
            failure=_failure(name, set(types[: i + 1])) if i >= turned else None,
        )
        for i, one in enumerate(types)
    ]


def _failure(name: str, said: set[str]) -> Failure:
    return msgspec.structs.replace(FAILURES[name], undone=bool(said & UNDOING))


def event(
    event_type: str,
    *,
    saga_id: str = "s",
    at: datetime = NOON,
    failure: Failure | None = None,
    **result: Any,
) -> Event:
    return Event(
        id=events.event_id(saga_id=saga_id, event_type=event_type),
        type=event_type,
        saga_id=saga_id,
        saga="checkout",
        occurred_at=at,
        data=Facts(
            context=msgspec.Raw(msgspec.json.encode(checkout(saga_id))),
            result=result,
            failure=failure,
            requested_at=at - timedelta(milliseconds=100),
        ),
    )


def seen(one: Event) -> Seen:
    return Seen(
        saga_id=one.saga_id,
        event_type=one.type,
        event_id=one.id,
        cause_id=one.cause_id,
        requested_at=one.data.requested_at,
        occurred_at=one.occurred_at,
        seen_at=one.occurred_at,
        data=Said(result=one.data.result, failure=one.data.failure),
    )
