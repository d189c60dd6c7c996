"""Payments as the API shows them, and as users send them."""

from decimal import Decimal
from typing import Any

import msgspec

from contracts import bounds
from contracts.bounds import Id, WholeNumber, amount
from pagos.models import Payment


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment asked for outside of any saga. Which amounts are refused is the network's matter:
    here it need only be money, also less than nothing.
    """

    merchant_id: Id | WholeNumber
    order_id: Id | WholeNumber
    amount: Decimal
    payment_method: Id

    def __post_init__(self) -> None:
        most = bounds.MOST_MONEY
        bounds.require_money("amount", self.amount, least=-most, most=most)


def payment(row: Payment) -> dict[str, Any]:
    """A payment. A saga's has a step and a subject (its cart or order; as `cart_id`, too), a plain
    one a merchant and an order.
    """
    refund = next(iter(row.refunds.all()), None)
    return {
        "id": row.id,
        "saga_id": row.saga_id,
        "step": row.step or None,
        "subject": row.subject or None,
        "cart_id": row.subject or None,
        "merchant_id": row.merchant_id or None,
        "order_id": row.order_id or None,
        "amount": str(amount(row.amount)),
        "payment_method": row.payment_method,
        "status": row.status,
        "code": row.code or None,
        "detail": row.detail or None,
        "refunded_amount": str(amount(refund.amount if refund else 0)),
        "created_at": row.created_at,
        "refunded_at": refund.created_at if refund else None,
        "refunded_because": refund.reason or None if refund else None,
    }


def payment_of_saga(row: Payment) -> dict[str, Any]:
    """The short form: how the payment of a saga stands."""
    whole = payment(row)
    names = ("saga_id", "status", "amount", "refunded_amount", "code", "created_at", "refunded_at")
    return {"payment_id": row.id, **{name: whole[name] for name in names}}
