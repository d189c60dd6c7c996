"""What carrito does when it hears an event or a request, and what it says then."""

from carrito import operations
from contracts import events, requests
from contracts.extras import LAST_FACT
from messaging.answering import Answer
from messaging.reactions import on

REACTIONS = [
    *on(
        events.PAYMENT_PROCESSED,
        do=operations.create_order,
        says=events.ORDER_CREATED,
        says_if_refused=events.ORDER_CREATE_FAILED,
    ),
    *on(
        LAST_FACT,  # inventory.committed, unless there are extra steps
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
    Answer(hears=requests.ORDER_CREATE, operation=operations.create_order),
    Answer(hears=requests.ORDER_CONFIRM, operation=operations.confirm_order),
    Answer(hears=requests.ORDER_CANCEL, operation=operations.cancel_order),
    Answer(hears=requests.CART_UNLOCK, operation=operations.unlock),
]
