"""Carts, checkouts and orders as the API shows them."""

from operator import attrgetter
from typing import Annotated, Any, NotRequired, TypedDict

from carrito import store
from carrito.models import Cart, CartItem, CartStatus, Checkout, Order, OrderStatus
from catalogue.commands import Line
from contracts.bounds import MoneyText, Time, amount, words
from contracts.outcomes import Failure
from contracts.states import SagaStatus
from coordination.owner_views import failure_of


class ItemShown(TypedDict):
    """A line of a cart. `previous_price`: the price shown before, if it has changed."""

    product_id: str
    quantity: int
    unit_price: MoneyText
    previous_price: NotRequired[MoneyText]


class CartShown(TypedDict):
    """A cart. `checking_out`: locked while a checkout of it runs."""

    id: str
    user_id: str
    status: Annotated[str, words(CartStatus)]
    items: list[ItemShown]
    total_amount: MoneyText
    created_at: Time


class LineShown(TypedDict):
    """A line as its checkout froze it."""

    product_id: str
    quantity: int
    unit_price: str


class OrderShown(TypedDict):
    """An order of a cart."""

    id: str
    saga_id: str
    cart_id: str
    user_id: str
    status: Annotated[str, words(OrderStatus)]
    items: list[LineShown]
    total_amount: MoneyText
    created_at: Time
    confirmed_at: Time | None
    cancelled_at: Time | None
    cancelled_because: str | None


class OrdersOfCart(TypedDict):
    cart_id: str
    orders: list[OrderShown]


class PriceChangeShown(TypedDict):
    """A product that costs less now than the shopper was shown."""

    product_id: str
    was: str
    now: str


class CheckoutState(TypedDict):
    """Where a checkout stands, as carrito knows it. `failure`: why it ended without success."""

    saga_id: str
    saga: str
    cart_id: str
    saga_pattern: str
    status: Annotated[str, words(SagaStatus)]
    total_amount: MoneyText
    price_changes: NotRequired[list[PriceChangeShown]]
    order_id: str | None
    order_status: Annotated[str, words(OrderStatus)] | None
    failure: Failure | None
    accepted_at: Time
    ended_at: Time | None


class CheckoutShown(CheckoutState):
    """The same, and the URL of its state."""

    status_url: str


class CheckoutBegun(TypedDict):
    """A checkout that is accepted and durable."""

    saga_id: str
    saga: str
    cart_id: str
    total_amount: MoneyText
    price_changes: NotRequired[list[PriceChangeShown]]
    status: Annotated[str, words((SagaStatus.PENDING,))]
    saga_pattern: str
    status_url: str


def cart(cart: Cart) -> CartShown:
    """A cart with its items, in the order in which they were added, and their total."""
    items = sorted(cart.items.all(), key=attrgetter("pk"))
    lines = [Line(item.product_id, item.quantity, item.unit_price) for item in items]
    return {
        "id": cart.id,
        "user_id": cart.user_id,
        "status": cart.status,
        "items": [_item(item) for item in items],
        "total_amount": str(amount(store.total_of(lines))),
        "created_at": cart.created_at,
    }


def _item(item: CartItem) -> ItemShown:
    """A line; with `previous_price` if its price has changed since it was shown."""
    shown: ItemShown = {
        "product_id": item.product_id,
        "quantity": item.quantity,
        "unit_price": str(amount(item.unit_price)),
    }
    if item.previous_price is None:
        return shown
    return {**shown, "previous_price": str(amount(item.previous_price))}


def order(order: Order) -> OrderShown:
    """An order with its lines."""
    return {
        "id": order.id,
        "saga_id": order.checkout_id,
        "cart_id": order.cart_id,
        "user_id": order.user_id,
        "status": order.status,
        "items": order.checkout.items,
        "total_amount": str(amount(order.total_amount)),
        "created_at": order.created_at,
        "confirmed_at": order.confirmed_at,
        "cancelled_at": order.cancelled_at,
        "cancelled_because": order.cancelled_because or None,
    }


def checkout_status(checkout: Checkout) -> dict[str, Any]:
    """Where a checkout stands, as carrito knows it; the coordinator knows each step."""
    placed = getattr(checkout, "order", None)
    return {
        "saga_id": checkout.saga_id,
        "saga": checkout.saga,
        "cart_id": checkout.cart_id,
        "saga_pattern": checkout.saga_pattern,
        "status": checkout.status,
        "total_amount": str(amount(checkout.total_amount or 0)),
        **({"price_changes": checkout.price_changes} if checkout.price_changes else {}),
        "order_id": placed.id if placed else None,
        "order_status": placed.status if placed else None,
        "failure": failure_of(checkout),
        "accepted_at": checkout.accepted_at,
        "ended_at": checkout.ended_at,
    }
