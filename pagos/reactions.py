"""What pagos does when it hears an event or a request, and what it says then."""

from contracts import events, requests
from messaging import extras
from messaging.answering import Answer
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
    Answer(hears=requests.PAYMENT, operation=operations.charge),
    Answer(hears=requests.PAYMENT_REFUND, operation=operations.refund),
    *extras.reactions(service=operations.SERVICE),
]
