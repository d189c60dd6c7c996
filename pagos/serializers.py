"""Payments as the API shows them, and as users send them."""

from decimal import Decimal
from typing import Any

import msgspec

from contracts import bounds
from contracts.bounds import Id, WholeNumber
from contracts.money import amount
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


def payment(one: Payment) -> dict[str, Any]:
    """A payment. A saga's has a saga and a cart, a plain one a merchant and an order."""
    refund = next(iter(one.refunds.all()), None)
    return {
        "id": one.id,
        "saga_id": one.saga_id,
        "cart_id": one.cart_id or None,
        "merchant_id": one.merchant_id or None,
        "order_id": one.order_id or None,
        "amount": str(amount(one.amount)),
        "payment_method": one.payment_method,
        "status": one.status,
        "code": one.code or None,
        "detail": one.detail or None,
        "refunded_amount": str(amount(refund.amount if refund else 0)),
        "created_at": one.created_at,
        "refunded_at": refund.created_at if refund else None,
        "refunded_because": refund.reason or None if refund else None,
    }


def payment_of_saga(one: Payment) -> dict[str, Any]:
    """The short form: how the payment of a saga stands."""
    whole = payment(one)
    names = ("saga_id", "status", "amount", "refunded_amount", "code", "created_at", "refunded_at")
    return {"payment_id": one.id, **{name: whole[name] for name in names}}
