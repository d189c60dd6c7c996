"""Orders as the API shows and receives them."""

from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from contracts import bounds
from contracts.bounds import (
    Address,
    AddressText,
    Asked,
    Id,
    MoneyText,
    Quantity,
    SagaPattern,
    Time,
    WholeNumber,
    amount,
    words,
)
from contracts.outcomes import Failure
from contracts.states import SagaStatus
from coordination.owner_views import failure_of
from httpapi import pages
from pedidos import history
from pedidos.models import Order, OrderStatus
from pedidos.operations import OrderItem

Place = Annotated[AddressText, Meta(pattern=bounds.NOT_BLANK)]


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order. `product_id`: the product's sku, or its id."""

    product_id: Id | WholeNumber
    quantity: Quantity = 1


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of one product, or of `items`. `amount`: the agreed total. `user_id`: default: the
    caller.
    """

    user_id: Id | WholeNumber | None = None
    amount: Decimal
    product_id: Id | WholeNumber | None = None
    quantity: Quantity = 1
    items: Annotated[list[OrderLine], Meta(max_length=bounds.MOST_LINES)] = []
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


class PurchaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a purchase; its customer may name the product freely."""

    product_id: Id | WholeNumber
    quantity: Annotated[int, Meta(ge=1, le=10)]
    unit_price: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("unit_price", self.unit_price, most=bounds.MOST_PRICE)


class NewPurchase(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase, which is paid later; `total_amount` is the sum of the lines.

    `auto_confirm`: the payment is confirmed at once, and `payment_method` charged. `customer_id`:
    default: the caller.
    """

    customer_id: Id | WholeNumber | None = None
    order_items: Annotated[list[PurchaseLine], Meta(min_length=1, max_length=bounds.MOST_LINES)]
    total_amount: Decimal
    province: Place
    city: Place
    auto_confirm: bool = False
    payment_method: Id = "credit_card"
    saga: Id = "purchase"
    saga_pattern: SagaPattern | None = None

    def __post_init__(self) -> None:
        bounds.require_money("total_amount", self.total_amount, most=bounds.MOST_MONEY)
        total = sum(line.quantity * line.unit_price for line in self.order_items)
        if self.total_amount != total:
            raise ValueError(f"total_amount: the sum of the items is {amount(total)}")

    def items(self) -> list[OrderItem]:
        """The lines as an order keeps them."""
        return [
            OrderItem(
                product_id=str(line.product_id),
                quantity=line.quantity,
                unit_price=amount(line.unit_price),
            )
            for line in self.order_items
        ]


class OrderFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which orders to list: `?user_id=&status=`, with the parameters of every page."""

    user_id: Asked | None = None
    status: OrderStatus | None = None


class ItemShown(TypedDict):
    """A line of an order, with its price if one was agreed."""

    product_id: str
    quantity: int
    unit_price: NotRequired[str | None]


_Status = Annotated[str, words((*OrderStatus, "delivered"))]


class OrderShown(TypedDict):
    """An order, without data of other services. `saga_status`: its saga's status."""

    order_id: str
    saga_id: str
    saga: str
    saga_pattern: str
    user_id: str
    status: _Status
    saga_status: Annotated[str, words(SagaStatus)]
    items: list[ItemShown]
    total_amount: MoneyText | None
    destination: dict[str, str]
    failure: Failure | None
    created_at: Time
    confirmed_at: Time | None
    ended_at: Time | None


class OrdersPage(pages.PageFields):
    """A page of orders, under two names: `results` and `orders`."""

    results: list[OrderShown]
    orders: list[OrderShown]
    total: int


class OrderInFull(OrderShown):
    """An order with its payment, its delivery and its history."""

    payment: history.ToPay | None
    delivery: dict[str, Any] | None
    history: list[history.Happened]
    status_url: str


class OrderBegun(TypedDict):
    """An order that is accepted and durable."""

    saga_id: str
    saga: str
    order_id: str
    total_amount: MoneyText
    status: Annotated[str, words((SagaStatus.PENDING,))]
    saga_pattern: str
    status_url: str


def order(row: Order) -> OrderShown:
    """An order, without data of other services."""
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
        "destination": getattr(row, "address", None) or {},
        "failure": failure_of(row),
        "created_at": row.accepted_at,
        "confirmed_at": row.confirmed_at,
        "ended_at": row.ended_at,
    }


def order_in_full(row: Order) -> dict[str, Any]:
    """An order with its payment, its delivery and its history. Whether it is delivered is known
    from envios.
    """
    state, delivery = history.state(order=row), history.delivery(order=row)
    is_there = bool(delivery) and delivery.get("status") == DELIVERED
    is_delivered = is_there and row.order_status == OrderStatus.DISPATCHED
    return {
        **order(row),
        **({"status": DELIVERED} if is_delivered else {}),
        "payment": history.payment(order=row, state=state),
        "delivery": delivery,
        "history": history.of(order=row, state=state),
    }


DELIVERED = "delivered"
