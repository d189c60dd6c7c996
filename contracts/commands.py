"""What a service may be asked to do, each as a plain value.

Every command names its saga; a command of a step is made from the checkout that was frozen when
it was accepted, by `of`, in the same way whether a conductor sends it or an event sets it off.
"""

from decimal import Decimal
from typing import Annotated, Any, Self

import msgspec

from contracts import bounds
from contracts.bounds import Id, Quantity, Reason, SagaPattern, Traceparent
from contracts.outcomes import Failure

SagaId = Id


class Line(msgspec.Struct, frozen=True):
    """One line of a cart: how many of what, at which price each."""

    product_id: Id
    quantity: Quantity
    unit_price: Decimal


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout as it was frozen at acceptance: the one thing that all steps work from.

    Made or read, it raises ValueError (read: msgspec.ValidationError) for a total that is no money.
    """

    saga_id: SagaId
    cart_id: Id
    user_id: Id
    items: Annotated[list[Line], msgspec.Meta(max_length=bounds.MOST_LINES_READ)]
    total_amount: Decimal
    payment_method: Id
    saga_pattern: SagaPattern
    billing_address: dict[str, Any] = {}
    traceparent: Traceparent = ""

    def __post_init__(self) -> None:
        bounds.require_money("total_amount", self.total_amount, most=bounds.MOST_MONEY)


def stand_in(*, saga_id: str, cart_id: str, saga_pattern: str) -> Checkout:
    """In the place of a checkout that can't be read any more: enough to undo all of it, because an
    undo needs only to know whose step it is.
    """
    return Checkout(
        saga_id=saga_id,
        cart_id=cart_id or "unknown",
        user_id="unknown",
        items=[],
        total_amount=Decimal("0.00"),
        payment_method="unknown",
        saga_pattern=saga_pattern,
    )


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that is asked of a step: at least whose step it is."""

    saga_id: SagaId

    @classmethod
    def of(cls, *, checkout: Checkout, failure: Failure | None = None) -> Self:
        """The command for this checkout. `failure`: why it goes backward, for an undo."""
        return cls(saga_id=checkout.saga_id)


class Item(msgspec.Struct, frozen=True):
    """How many of which product."""

    product_id: Id
    quantity: Quantity


class Reserve(Command, frozen=True, kw_only=True):
    """Put these items aside for the cart: every line or none."""

    cart_id: Id
    items: Annotated[list[Item], msgspec.Meta(min_length=1, max_length=bounds.MOST_LINES_READ)]

    @classmethod
    def of(cls, *, checkout: Checkout, failure: Failure | None = None) -> Self:
        items = [Item(line.product_id, line.quantity) for line in checkout.items]
        return cls(saga_id=checkout.saga_id, cart_id=checkout.cart_id, items=items)


class Charge(Command, frozen=True, kw_only=True):
    """Take the money for the cart."""

    cart_id: Id
    amount: Decimal
    payment_method: Id

    @classmethod
    def of(cls, *, checkout: Checkout, failure: Failure | None = None) -> Self:
        return cls(
            saga_id=checkout.saga_id,
            cart_id=checkout.cart_id,
            amount=checkout.total_amount,
            payment_method=checkout.payment_method,
        )


class Undo(Command, frozen=True, kw_only=True):
    """Reverse a step, and why: shown to whoever looks at the row later."""

    reason: Reason = ""

    @classmethod
    def of(cls, *, checkout: Checkout, failure: Failure | None = None) -> Self:
        return cls(saga_id=checkout.saga_id, reason=failure.code if failure else "")


class Unlock(Command, frozen=True, kw_only=True):
    """Give the cart back: the checkout ended without a sale, and why."""

    failure: Failure | None = None

    @classmethod
    def of(cls, *, checkout: Checkout, failure: Failure | None = None) -> Self:
        return cls(saga_id=checkout.saga_id, failure=failure)
