"""Payments as the API shows and receives them."""

from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from contracts import bounds
from contracts.bounds import Id, MoneyText, Reason, Time, WholeNumber, amount, words
from httpapi import pages
from pagos.models import CreditAccount, Payment, PaymentStatus


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment outside of sagas. `merchant_id`: default: the caller's. `amount`: any money here,
    also below 0; `operations.pay` refuses it.
    """

    merchant_id: Id | WholeNumber | None = None
    order_id: Id | WholeNumber
    amount: Decimal
    payment_method: Id

    def __post_init__(self) -> None:
        most = bounds.MOST_MONEY
        bounds.require_money("amount", self.amount, least=-most, most=most)


class _Payment(TypedDict):
    """The fields of a payment that every caller sees."""

    id: str
    saga_id: str | None
    step: str | None
    subject: str | None
    cart_id: str | None
    merchant_id: str | None
    order_id: str | None
    amount: MoneyText
    payment_method: str
    code: str | None
    detail: str | None
    refunded_amount: MoneyText
    created_at: Time
    refunded_at: Time | None
    refunded_because: str | None


class PaymentShown(_Payment):
    """A payment. `code`, `detail`: why it was refused. `refund_to`: where its money goes back to,
    if not to what it was paid with.
    """

    refund_to: str | None
    status: Annotated[str, words(PaymentStatus)]


class PaymentsOf(TypedDict):
    subject: str
    cart_id: str
    payments: list[PaymentShown]


class PaymentsPage(pages.PageFields):
    """A page of payments; `payments`: the same by order (or cart)."""

    results: list[PaymentShown]
    payments: dict[str, PaymentShown]
    total: int


class PaymentOfSaga(TypedDict):
    """The short form."""

    payment_id: str
    saga_id: str | None
    status: Annotated[str, words(PaymentStatus)]
    amount: MoneyText
    refunded_amount: MoneyText
    code: str | None
    created_at: Time
    refunded_at: Time | None


ForCustomer = Annotated[str, words(("pending", "completed", "refunded", "failed", "cancelled"))]


class CustomersPayment(_Payment):
    """A payment as its customer sees it."""

    payment_id: str
    status: ForCustomer


class CreditsShown(TypedDict):
    """A user's credits: what is left (`balance`), and what was granted, spent and refunded."""

    user_id: str
    initial: MoneyText
    balance: MoneyText
    spent: MoneyText
    refunded: MoneyText


class WayToPay(TypedDict):
    """A payment method; for credits also the balance, and whether it is enough."""

    payment_method: str
    balance: NotRequired[MoneyText]
    is_enough: NotRequired[bool]


class BillOptions(TypedDict):
    saga_id: str | None
    amount: MoneyText
    status: ForCustomer
    options: list[WayToPay]


def payment(row: Payment) -> PaymentShown:
    """A payment. A saga's payment has a step and a subject (its cart or order; as `cart_id`, too),
    a plain payment a merchant and an order.
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
        "refund_to": row.refund_to or None,
        "status": row.status,
        "code": row.code or None,
        "detail": row.detail or None,
        "refunded_amount": str(amount(refund.amount if refund else 0)),
        "created_at": row.created_at,
        "refunded_at": refund.created_at if refund else None,
        "refunded_because": refund.reason or None if refund else None,
    }


class RefundTo(msgspec.Struct, frozen=True, kw_only=True):
    """Where the money of a payment goes back to, if not to what it was paid with."""

    refund_to: Id


class CustomersWord(msgspec.Struct, frozen=True, kw_only=True):
    """The payment that a customer confirms or cancels, by its id or its order's; and why."""

    payment_id: Id | None = None
    order_id: Id | None = None
    by: Annotated[str, msgspec.Meta(max_length=150)] = ""
    reason: Reason = ""


class BillPayment(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer pays a bill: `credits`, or a card."""

    payment_method: Id
    by: Annotated[str, msgspec.Meta(max_length=150)] = ""


class NewCredits(msgspec.Struct, frozen=True, kw_only=True):
    """Credits for a user."""

    user_id: Id
    amount: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("amount", self.amount, least=bounds.CENT, most=bounds.MOST_MONEY)


_FOR_CUSTOMER = {"captured": "completed", "refused": "failed"}


def for_customer(row: Payment) -> dict[str, Any]:
    """A payment as its customer sees it."""
    whole = payment(row)
    status = _FOR_CUSTOMER.get(row.status, row.status)
    return {
        **whole,
        "payment_id": row.id,
        "order_id": row.subject or row.order_id,
        "status": status,
    }


def credits(row: CreditAccount) -> dict[str, Any]:  # noqa: A001 -- as its users call it
    """A user's credits."""
    money = {name: str(getattr(row, name)) for name in ("initial", "balance", "spent", "refunded")}
    return {"user_id": row.user_id, **money}


def options(row: Payment, account: CreditAccount | None) -> dict[str, Any]:
    """The ways to pay a bill."""
    balance = account.balance if account else Decimal(0)
    from_credits = {
        "payment_method": "credits",
        "balance": str(amount(balance)),
        "is_enough": account is not None and balance >= row.amount,
    }
    cards = [{"payment_method": method} for method in ("credit_card", "debit_card", "paypal")]
    return {
        "saga_id": row.saga_id,
        "amount": str(amount(row.amount)),
        "status": _FOR_CUSTOMER.get(row.status, row.status),
        "options": [from_credits, *cards],
    }


def payment_of_saga(row: Payment) -> dict[str, Any]:
    """The short form of a saga's payment."""
    whole = payment(row)
    names = ("saga_id", "status", "amount", "refunded_amount", "code", "created_at", "refunded_at")
    return {"payment_id": row.id, **{name: whole[name] for name in names}}
