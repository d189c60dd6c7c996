"""The outcomes of the shop's operations: the data of what was done and undone, and the codes of
refusals, as in replies, in the `result` of events, and in a step's answer over HTTP.

Each row belongs to an operation of `commands`. Documents are generated from it, and tests check
that services send nothing else.
"""

from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

from catalogue import refusals
from contracts.bounds import MoneyText, words
from contracts.saga import Answers
from contracts.states import SagaStatus

_CARD = (
    refusals.INVALID_AMOUNT,
    refusals.INVALID_CARD,
    refusals.CARD_DECLINED,
    refusals.INSUFFICIENT_FUNDS,
    refusals.EXPIRED_CARD,
    refusals.UNKNOWN_PAYMENT_METHOD,
    refusals.NETWORK_UNAVAILABLE,
)
"""Of every operation that charges a card."""
_Ended = Annotated[str, words((SagaStatus.FAILED, SagaStatus.COMPENSATED))]


class Failed(TypedDict):
    """An acceptance was undone: the saga has ended without success."""

    status: _Ended


class OrderFailed(Failed):
    order_status: Annotated[str, words(("failed", "cancelled"))]


class BookingFailed(Failed):
    booking_status: Annotated[str, words(("failed", "cancelled"))]


class Reserved(TypedDict):
    reservation_id: str


class Released(TypedDict):
    released: bool


class Restored(TypedDict):
    restored: bool


class Paid(TypedDict):
    """A payment; `status`: after the operation."""

    payment_id: str
    amount: MoneyText
    status: Annotated[str, words(("pending", "captured", "refunded", "refused", "cancelled"))]


class Refunded(TypedDict):
    payment_id: str
    refunded_amount: MoneyText
    status: Annotated[str, words(("refunded",))]


class OrderMade(TypedDict):
    order_id: str


class OrderCancelled(TypedDict):
    cancelled: bool


class OrderConfirmed(OrderMade):
    confirmed_at: datetime


class OrderDispatched(OrderMade):
    dispatched_at: datetime


class OrderCompleted(OrderMade):
    completed_at: datetime


class Scheduled(TypedDict):
    delivery_id: str
    courier_id: str
    status: Annotated[str, words(("scheduled",))]


class DeliveryCancelled(TypedDict):
    delivery_id: str
    status: Annotated[str, words(("cancelled",))]


class Billed(TypedDict):
    bill_id: str
    amount: MoneyText
    status: Annotated[str, words(("open",))]


class Unbilled(TypedDict):
    bill_id: str
    status: Annotated[str, words(("failed", "credited"))]
    credit_note: NotRequired[str]


class Invoiced(TypedDict):
    invoice_number: str
    bill_id: str
    status: Annotated[str, words(("paid",))]


class Approved(TypedDict):
    booking_id: str
    approved_by: str


class Withdrawn(TypedDict):
    approval: Annotated[str, words(("withdrawn",))]


class Booked(TypedDict):
    booking_id: str
    reserved_at: datetime


_OF_A_CART = (
    refusals.UNKNOWN_CART,
    refusals.CART_OF_ANOTHER_USER,
    refusals.CART_CHECKED_OUT,
    refusals.CART_IN_CHECKOUT,
    refusals.EMPTY_CART,
    refusals.CART_TOO_LARGE,
    refusals.PRICE_CHANGED,
    refusals.UNREADABLE,
)

ANSWERS: dict[str, Answers] = {
    "carrito.accept": Answers(
        undone=Failed,
        refuses=_OF_A_CART,
        statuses={refusals.UNKNOWN_CART: 404, refusals.EMPTY_CART: 400},
    ),
    "carrito.create_order": Answers(
        done=OrderMade,
        undone=OrderCancelled,
        refuses=(refusals.NO_CHECKOUT, refusals.WRONG_AMOUNT),
    ),
    "carrito.confirm_order": Answers(done=OrderConfirmed, refuses=(refusals.NO_ORDER,)),
    "inventario.reserve": Answers(
        done=Reserved,
        undone=Released,
        refuses=(refusals.OUT_OF_STOCK, refusals.UNKNOWN_PRODUCT, refusals.TOO_MANY_RESERVED),
    ),
    "inventario.commit": Answers(
        done=Reserved,
        undone=Restored,
        refuses=(
            refusals.RESERVATION_EXPIRED,
            refusals.NO_RESERVATION,
            refusals.WRONG_ITEMS,
            refusals.WRONG_AMOUNT,
        ),
    ),
    "pagos.charge": Answers(done=Paid, undone=Refunded, refuses=_CARD),
    "pagos.create_payment": Answers(done=Paid, undone=Paid, refuses=(refusals.INVALID_AMOUNT,)),
    "pagos.confirm_payment": Answers(
        done=Paid,
        undone=Refunded,
        refuses=(
            *_CARD,
            refusals.NO_PAYMENT,
            refusals.NO_CREDIT_ACCOUNT,
            refusals.CANCELLED_BY_CUSTOMER,
            refusals.CONFIRMATION_OVERDUE,
        ),
    ),
    "pagos.pay_bill": Answers(
        done=Paid,
        undone=Refunded,
        refuses=(
            *_CARD,
            refusals.WRONG_AMOUNT,
            refusals.NO_CREDIT_ACCOUNT,
            refusals.CANCELLED_BY_CUSTOMER,
            refusals.PAYMENT_OVERDUE,
        ),
    ),
    "pedidos.accept": Answers(
        undone=OrderFailed,
        refuses=(refusals.UNKNOWN_PRODUCT, refusals.WRONG_AMOUNT),
        statuses={refusals.UNKNOWN_PRODUCT: 404},
    ),
    "pedidos.confirm": Answers(
        done=OrderConfirmed,
        undone=OrderMade,
        refuses=(refusals.NO_ORDER, refusals.WRONG_AMOUNT),
    ),
    "pedidos.dispatch": Answers(done=OrderDispatched, refuses=(refusals.NO_ORDER,)),
    "pedidos.complete": Answers(done=OrderCompleted, refuses=(refusals.NO_ORDER,)),
    "envios.schedule": Answers(
        done=Scheduled,
        undone=DeliveryCancelled,
        refuses=(refusals.AREA_NOT_SERVED, refusals.NO_COURIER_FREE),
    ),
    "reservas.accept": Answers(
        undone=BookingFailed,
        refuses=(refusals.UNKNOWN_SLOT, refusals.SLOT_TAKEN),
        statuses={refusals.UNKNOWN_SLOT: 404},
    ),
    "reservas.approve": Answers(
        done=Approved,
        undone=Withdrawn,
        refuses=(refusals.NO_BOOKING, refusals.REJECTED_BY_MANAGER, refusals.APPROVAL_OVERDUE),
    ),
    "reservas.reserve": Answers(done=Booked, refuses=(refusals.NO_BOOKING,)),
    "facturas.create_bill": Answers(
        done=Billed, undone=Unbilled, refuses=(refusals.INVALID_AMOUNT,)
    ),
    "facturas.issue_invoice": Answers(done=Invoiced, refuses=(refusals.NO_BILL,)),
}
"""By operation. Padding steps return nothing."""

_ID = "3f0e7a52-6c1d-4b8e-9a57-2d4c8e1f0b36"
EXAMPLES: dict[str, Any] = {
    "id": _ID,
    "saga_id": _ID,
    "saga": "checkout",
    "status_url": f"http://localhost:3003/saga/{_ID}",
    "code": "card_declined",
    "detail": "The bank declined the charge.",
    "cart_id": "5b1c9d34-0f62-4e7a-8d15-7c9a3e2b6f40",
    "order_id": _ID,
    "booking_id": _ID,
    "payment_id": "9a4e2c17-5d80-4f3b-b6e1-0c7d8f2a1e95",
    "user_id": "ana",
    "customer_id": "ana",
    "requested_by": "eva",
    "by": "eva",
    "reason": "the customer has changed her mind",
    "product_id": "1",
    "ids": "1,2",
    "sku": "KEYBOARD-ES",
    "category": "keyboards",
    "price": "25.00",
    "unit_price": "25.00",
    "amount": "25.00",
    "total_amount": "25.00",
    "due": "25.00",
    "paid": "25.00",
    "evidence": _ID,
    "price_per_hour": "25.00",
    "quantity": 1,
    "payment_method": "credit_card",
    "billing_address": {
        "street": "Calle Mayor 1",
        "city": "Madrid",
        "country": "ES",
        "postal_code": "28013",
    },
    "destination": {"province": "Madrid", "city": "Alcobendas"},
    "province": "Madrid",
    "city": "Alcobendas",
    "slot_id": "1",
    "starts_at": "2026-12-01T10:00:00Z",
    "ends_at": "2026-12-01T11:00:00Z",
    "saga_pattern": "orchestrated",
    "step": "process_payment",
    "decided_by": "manager",
    "key": "checkout-1-payment",
    "number": "2026-000001",
    "method": "credit_card",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
"""By field name."""
