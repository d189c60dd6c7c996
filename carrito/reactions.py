"""What carrito does when it hears an event, and what it says then."""

from carrito import operations
from contracts import events
from messaging.reactions import on

REACTIONS = [
    *on(
        events.PAYMENT_PROCESSED,
        do=operations.create_order,
        says=events.ORDER_CREATED,
        says_if_refused=events.ORDER_CREATE_FAILED,
    ),
    *on(
        events.INVENTORY_COMMITTED,
        do=operations.confirm_order,
        says=events.CHECKOUT_COMPLETED,
    ),
    *on(
        events.INVENTORY_COMMIT_FAILED,
        events.INVENTORY_RESTORED,
        do=operations.cancel_order,
        says=events.ORDER_CANCELLED,
    ),
    *on(
        events.INVENTORY_RESERVE_FAILED,
        events.INVENTORY_UNRESERVED,
        do=operations.unlock,
        says=events.CHECKOUT_FAILED,
    ),
]
