"""What inventario does when it hears an event or a request, and what it says then."""

from contracts import events, requests
from inventario import operations
from messaging import extras
from messaging.answering import Answer
from messaging.reactions import on

REACTIONS = [
    *on(
        events.CHECKOUT_INITIATED,
        do=operations.reserve,
        says=events.INVENTORY_RESERVED,
        says_if_refused=events.INVENTORY_RESERVE_FAILED,
    ),
    *on(
        events.ORDER_CREATED,
        do=operations.commit,
        says=events.INVENTORY_COMMITTED,
        says_if_refused=events.INVENTORY_COMMIT_FAILED,
    ),
    *on(
        events.PAYMENT_FAILED,
        events.PAYMENT_REFUNDED,
        do=operations.unreserve,
        says=events.INVENTORY_UNRESERVED,
    ),
    *on(
        events.CHECKOUT_ABORT_REQUESTED,
        do=operations.block_commit,
        says_if_refused=events.INVENTORY_COMMIT_FAILED,
    ),
    *on(
        events.CHECKOUT_RETURN_REQUESTED,
        do=operations.restore,
        says=events.INVENTORY_RESTORED,
    ),
    Answer(hears=requests.INVENTORY_RESERVE, operation=operations.reserve),
    Answer(hears=requests.INVENTORY_UNRESERVE, operation=operations.unreserve),
    Answer(hears=requests.INVENTORY_COMMIT, operation=operations.commit),
    Answer(hears=requests.INVENTORY_COMMIT_BLOCK, operation=operations.block_commit),
    Answer(hears=requests.INVENTORY_RESTORE, operation=operations.restore),
    *extras.reactions(service=operations.SERVICE),
]
