"""The commands of the shop's services, as plain values, and which operation takes which.

Every command names its saga and its step there: the same operation may serve two steps, and two
sagas. It has only the fields that its operation needs; `projection.command` makes it from the
saga's context, in the same way for an orchestrator's call and for a reaction to an event.
"""

from decimal import Decimal
from typing import Annotated, TypedDict

import msgspec

from contracts import bounds
from contracts.bounds import AddressText, IdRead, Quantity, UserId
from contracts.saga import Command


class Line(msgspec.Struct, frozen=True):
    """One line of a cart."""

    product_id: IdRead
    quantity: Quantity
    unit_price: Decimal


class Item(msgspec.Struct, frozen=True):
    """A number of units of one product."""

    product_id: IdRead
    quantity: Quantity


Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=bounds.MOST_LINES_READ)]


def _nothing() -> list[Item]:
    """A default that documents do not show: no caller may send an empty list of items."""
    return []


class Reserve(Command, frozen=True, kw_only=True):
    """Reserve these items: every line or none. `subject`: the cart or the order it is for."""

    subject: IdRead
    user_id: UserId = ""
    items: Items


class Charge(Command, frozen=True, kw_only=True):
    """Take the money. `subject`: the cart or the order it is for."""

    subject: IdRead
    user_id: UserId = ""
    amount: Decimal
    payment_method: IdRead


class Commit(Command, frozen=True, kw_only=True):
    """Sell what is reserved. `items`: what should be reserved; `due`, `paid`: its price, and the
    amount that its payment has taken. A command that is sent by hand may have none of them.
    """

    items: Items = msgspec.field(default_factory=_nothing)
    due: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        bounds.require_money("due", self.due, most=bounds.MOST_MONEY)
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class CreateOrder(Command, frozen=True, kw_only=True):
    """Create the order of the frozen cart. `paid`: the amount that its payment has taken."""

    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class Conclude(Command, frozen=True, kw_only=True):
    """Conclude the saga after its pivot: confirm the order, say. `evidence`: an id in the pivot's
    result; without it no saga concludes anything.
    """

    evidence: Annotated[str, msgspec.Meta(max_length=bounds.MOST_ID)] = ""

    def __post_init__(self) -> None:
        if self.saga and not self.evidence:
            raise ValueError("evidence: an id in the pivot's result")


class CompleteOrder(Conclude, frozen=True, kw_only=True):
    """Conclude an order whose total was agreed on. `paid`: what its payment has taken."""

    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class CreatePayment(Charge, frozen=True, kw_only=True):
    """Create a payment that its payer has to confirm; nothing is taken yet."""


class ConfirmPayment(Command, frozen=True, kw_only=True):
    """Take the money of this payment, once its customer has confirmed it, or at once."""

    payment_id: IdRead
    user_id: UserId = ""
    auto_confirm: bool = False


class PayBill(Command, frozen=True, kw_only=True):
    """Have the user pay this amount, from credits or by a card, as the user decides. `due`: the
    amount that the bill should have.
    """

    subject: IdRead
    user_id: IdRead
    amount: Decimal
    due: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("due", self.due, most=bounds.MOST_MONEY)


class Destination(TypedDict, total=False):
    """Where an order goes, without its street, which the courier reads in the order. Other fields
    of an address are dropped.
    """

    province: AddressText
    city: AddressText


class Schedule(Command, frozen=True, kw_only=True):
    """Give the delivery of this order to a courier who is free and serves the destination."""

    subject: IdRead
    user_id: UserId = ""
    destination: Destination


class CreateBill(Command, frozen=True, kw_only=True):
    """Bill this amount to this user. `subject`: the id of what it is for, a booking, say."""

    subject: IdRead
    user_id: IdRead
    amount: Decimal


class IssueInvoice(Command, frozen=True, kw_only=True):
    """The bill was paid: issue its invoice. `paid`: the amount that its payment has taken."""

    bill_id: IdRead
    paid: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


COMMANDS: dict[str, type[Command]] = {
    "inventario.reserve": Reserve,
    "inventario.commit": Commit,
    "carrito.create_order": CreateOrder,
    "carrito.confirm_order": Conclude,
    "pedidos.confirm": CreateOrder,
    "pedidos.complete": CompleteOrder,
    "pedidos.dispatch": Conclude,
    "reservas.reserve": Conclude,
    "pagos.charge": Charge,
    "pagos.create_payment": CreatePayment,
    "pagos.confirm_payment": ConfirmPayment,
    "pagos.pay_bill": PayBill,
    "envios.schedule": Schedule,
    "facturas.create_bill": CreateBill,
    "facturas.issue_invoice": IssueInvoice,
}
"""By operation; an operation that is not listed takes a bare `Command`."""
