"""What pagos does when it hears an event, and what it says then."""

from contracts import events
from messaging.reactions import on
from pagos import operations

REACTIONS = [
    *on(
        events.INVENTORY_RESERVED,
        do=operations.charge,
        says=events.PAYMENT_PROCESSED,
        says_if_refused=events.PAYMENT_FAILED,
    ),
    *on(
        events.ORDER_CREATE_FAILED,
        events.ORDER_CANCELLED,
        do=operations.refund,
        says=events.PAYMENT_REFUNDED,
    ),
]
