"""Carts, checkouts and orders as the API shows them."""

from operator import attrgetter
from typing import Any

from carrito import store
from carrito.models import Cart, CartItem, Checkout, Order
from catalogue.commands import Line
from contracts.bounds import amount
from coordination.owner_views import failure_of


def cart(one: Cart) -> dict[str, Any]:
    """A cart with its items, in the order in which they were added, and what they come to."""
    items = sorted(one.items.all(), key=attrgetter("pk"))
    lines = [Line(item.product_id, item.quantity, item.unit_price) for item in items]
    return {
        "id": one.id,
        "user_id": one.user_id,
        "status": one.status,
        "items": [_item(item) for item in items],
        "total_amount": str(amount(store.total_of(lines))),
        "created_at": one.created_at,
    }


def _item(one: CartItem) -> dict[str, Any]:
    """A line; with `previous_price` where its price has changed since the shopper was shown it."""
    shown = {
        "product_id": one.product_id,
        "quantity": one.quantity,
        "unit_price": str(amount(one.unit_price)),
    }
    if one.previous_price is None:
        return shown
    return {**shown, "previous_price": str(amount(one.previous_price))}


def order(one: Order) -> dict[str, Any]:
    """An order with its lines."""
    return {
        "id": one.id,
        "saga_id": one.checkout_id,
        "cart_id": one.cart_id,
        "user_id": one.user_id,
        "status": one.status,
        "items": one.checkout.items,
        "total_amount": str(amount(one.total_amount)),
        "created_at": one.created_at,
        "confirmed_at": one.confirmed_at,
        "cancelled_at": one.cancelled_at,
        "cancelled_because": one.cancelled_because or None,
    }


def checkout_status(one: Checkout) -> dict[str, Any]:
    """Where a checkout stands, as carrito knows it; the coordinator knows each step."""
    placed = getattr(one, "order", None)
    return {
        "saga_id": one.saga_id,
        "saga": one.saga,
        "cart_id": one.cart_id,
        "saga_pattern": one.saga_pattern,
        "status": one.status,
        "total_amount": str(amount(one.total_amount or 0)),
        **({"price_changes": one.price_changes} if one.price_changes else {}),
        "order_id": placed.id if placed else None,
        "order_status": placed.status if placed else None,
        "failure": failure_of(one),
        "accepted_at": one.accepted_at,
        "ended_at": one.ended_at,
    }
