"""Orders as the API shows them, and as users send them."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from contracts import bounds
from contracts.bounds import Address, Asked, Id, Quantity, SagaPattern, WholeNumber, amount
from coordination.owner_views import failure_of
from httpapi import pages
from pedidos import history
from pedidos.models import Order, OrderStatus


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order. `product_id`: the product's sku, or its id."""

    product_id: Id | WholeNumber
    quantity: Quantity = 1


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a user sends: one product, or `items`; `amount`: the total that was agreed on."""

    user_id: Id | WholeNumber
    amount: Decimal
    product_id: Id | WholeNumber | None = None
    quantity: Quantity = 1
    items: Annotated[list[Wanted], Meta(max_length=bounds.MOST_LINES)] = []
    payment_method: Id = "credit_card"
    destination: Address = {}
    saga: Id = "fulfilment"
    saga_pattern: SagaPattern | None = None

    def __post_init__(self) -> None:
        bounds.require_money("amount", self.amount, most=bounds.MOST_MONEY)
        if (self.product_id is None) == (not self.items):
            raise ValueError("product_id: either this, or items")

    def lines(self) -> list[tuple[str, int]]:
        """The sku (or id) and the quantity of each product."""
        if self.product_id is not None:
            return [(str(self.product_id), self.quantity)]
        return [(str(line.product_id), line.quantity) for line in self.items]


class OrderFilter(pages.Wanted, frozen=True, kw_only=True):
    """Which orders to list: `?user_id=&status=`, and as all pages are asked for."""

    user_id: Asked | None = None
    status: OrderStatus | None = None


def order(row: Order) -> dict[str, Any]:
    """An order, without what others know of it."""
    return {
        "order_id": row.saga_id,
        "saga_id": row.saga_id,
        "saga": row.saga,
        "saga_pattern": row.saga_pattern,
        "user_id": row.user_id,
        "status": row.order_status,
        "saga_status": row.status,
        "items": row.items,
        "total_amount": None if row.total_amount is None else str(amount(row.total_amount)),
        "destination": row.destination,
        "failure": failure_of(row),
        "created_at": row.accepted_at,
        "ended_at": row.ended_at,
    }


def order_in_full(row: Order) -> dict[str, Any]:
    """An order with its delivery, and all that has happened to it."""
    return {
        **order(row),
        "delivery": history.delivery(order=row),
        "history": history.of(order=row),
    }
