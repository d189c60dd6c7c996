"""What the shop's services may be asked to do, as plain values, and which operation takes which.

Every command names its saga and the step that it is there: the same operation may serve two steps,
and two sagas. It has what its operation needs and no more; `projection.command` makes it from the
saga's context, in the same way whether an orchestrator sends it or an event sets it off.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from contracts import bounds
from contracts.bounds import Address, Id, Quantity
from contracts.saga import Command


class Line(msgspec.Struct, frozen=True):
    """One line of a cart: how many of what, at which price each."""

    product_id: Id
    quantity: Quantity
    unit_price: Decimal


class Item(msgspec.Struct, frozen=True):
    """How many of which product."""

    product_id: Id
    quantity: Quantity


Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=bounds.MOST_LINES_READ)]


class Reserve(Command, frozen=True, kw_only=True):
    """Reserve these items: every line or none. `subject`: the cart or the order it is for."""

    subject: Id
    items: Items


class Charge(Command, frozen=True, kw_only=True):
    """Take the money. `subject`: the cart or the order it is for."""

    subject: Id
    amount: Decimal
    payment_method: Id


class CreatePayment(Charge, frozen=True, kw_only=True):
    """A payment to be confirmed by its payer; nothing is taken yet."""

    user_id: Id


class ConfirmPayment(Command, frozen=True, kw_only=True):
    """Take the money of this payment, once its customer has confirmed it, or at once."""

    payment_id: Id
    auto_confirm: bool = False


class PayBill(Command, frozen=True, kw_only=True):
    """Have the user pay this much, from credits or by a card, as the user decides."""

    subject: Id
    user_id: Id
    amount: Decimal


class Schedule(Command, frozen=True, kw_only=True):
    """Give the delivery of this order to a courier who is free and serves the destination.

    `destination`: an address; its `province` and `city` say who serves it.
    """

    subject: Id
    destination: Address


class CreateBill(Command, frozen=True, kw_only=True):
    """Bill this user so much. `subject`: what it is for, a booking, say."""

    subject: Id
    user_id: Id
    amount: Decimal


class IssueInvoice(Command, frozen=True, kw_only=True):
    """The bill was paid: issue its invoice."""

    bill_id: Id


COMMANDS: dict[str, type[Command]] = {
    "inventario.reserve": Reserve,
    "pagos.charge": Charge,
    "pagos.create_payment": CreatePayment,
    "pagos.confirm_payment": ConfirmPayment,
    "pagos.pay_bill": PayBill,
    "envios.schedule": Schedule,
    "facturas.create_bill": CreateBill,
    "facturas.issue_invoice": IssueInvoice,
}
"""What each operation takes; one that is not listed needs only to know whose step it is."""
