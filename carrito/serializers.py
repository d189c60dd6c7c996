"""Carts, checkouts and orders as the API shows them."""

from operator import attrgetter
from typing import Any

from carrito import store
from carrito.models import Cart, CartItem, Checkout, Order
from catalogue.commands import Line
from contracts.bounds import amount
from coordination.owner_views import failure_of


def cart(cart: Cart) -> dict[str, Any]:
    """A cart with its items, in the order in which they were added, and what they come to."""
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


def _item(item: CartItem) -> dict[str, Any]:
    """A line; with `previous_price` where its price has changed since the shopper was shown it."""
    shown = {
        "product_id": item.product_id,
        "quantity": item.quantity,
        "unit_price": str(amount(item.unit_price)),
    }
    if item.previous_price is None:
        return shown
    return {**shown, "previous_price": str(amount(item.previous_price))}


def order(order: Order) -> dict[str, Any]:
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
