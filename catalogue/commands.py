"""What the shop's services may be asked to do, as plain values, and which operation takes which.

Every command names its saga and the step that it is there: the same operation may serve two steps,
and two sagas. It has what its operation needs and no more; `projection.command` makes it from the
saga's context, in the same way whether an orchestrator sends it or an event sets it off.
"""

from decimal import Decimal
from typing import Annotated, TypedDict

import msgspec

from contracts import bounds
from contracts.bounds import AddressText, IdRead, Quantity, UserId
from contracts.saga import Command


class Line(msgspec.Struct, frozen=True):
    """One line of a cart: how many of what, at which price each."""

    product_id: IdRead
    quantity: Quantity
    unit_price: Decimal


class Item(msgspec.Struct, frozen=True):
    """How many of which product."""

    product_id: IdRead
    quantity: Quantity


Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=bounds.MOST_LINES_READ)]


def _nothing() -> list[Item]:
    """A default that documents do not show: it is no list of items that anybody may send."""
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
    """Sell what is reserved. `items`: what should be; `due`, `paid`: what it costs, and what its
    payment says that it has taken. Who calls by hand may name none of them.
    """

    items: Items = msgspec.field(default_factory=_nothing)
    due: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        bounds.require_money("due", self.due, most=bounds.MOST_MONEY)
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class CreateOrder(Command, frozen=True, kw_only=True):
    """An order of what was frozen. `paid`: what its payment says that it has taken."""

    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class Conclude(Command, frozen=True, kw_only=True):
    """What was decided is done: the order confirmed, say. `evidence`: an id that the deciding step
    has answered, without which no saga concludes anything.
    """

    evidence: Annotated[str, msgspec.Meta(max_length=bounds.MOST_ID)] = ""

    def __post_init__(self) -> None:
        if self.saga and not self.evidence:
            raise ValueError("evidence: what the step that decided has answered")


class CompleteOrder(Conclude, frozen=True, kw_only=True):
    """The same of an order whose total was agreed on. `paid`: what its payment has taken."""

    paid: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds.require_money("paid", self.paid, most=bounds.MOST_MONEY)


class CreatePayment(Charge, frozen=True, kw_only=True):
    """A payment to be confirmed by its payer; nothing is taken yet."""


class ConfirmPayment(Command, frozen=True, kw_only=True):
    """Take the money of this payment, once its customer has confirmed it, or at once."""

    payment_id: IdRead
    user_id: UserId = ""
    auto_confirm: bool = False


class PayBill(Command, frozen=True, kw_only=True):
    """Have the user pay this much, from credits or by a card, as the user decides. `due`: what the
    bill should be of.
    """

    subject: IdRead
    user_id: IdRead
    amount: Decimal
    due: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("due", self.due, most=bounds.MOST_MONEY)


class Destination(TypedDict, total=False):
    """Where something goes, as far as everybody may know: whoever brings it reads the street in the
    order. What else an address has is dropped.
    """

    province: AddressText
    city: AddressText


class Schedule(Command, frozen=True, kw_only=True):
    """Give the delivery of this order to a courier who is free and serves the destination."""

    subject: IdRead
    user_id: UserId = ""
    destination: Destination


class CreateBill(Command, frozen=True, kw_only=True):
    """Bill this user so much. `subject`: what it is for, a booking, say."""

    subject: IdRead
    user_id: IdRead
    amount: Decimal


class IssueInvoice(Command, frozen=True, kw_only=True):
    """The bill was paid: issue its invoice. `paid`: what its payment says that it has taken."""

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
"""What each operation takes; one that is not listed needs only to know whose step it is."""
