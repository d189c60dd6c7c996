"""Carts, checkouts and orders as the API shows them."""

from typing import Any

from carrito import records
from carrito.checkout import AcceptedCheckout
from carrito.models import Cart, Checkout, Order
from contracts.commands import Line
from contracts.money import amount


def cart(one: Cart) -> dict[str, Any]:
    """A cart with its items and what they come to."""
    lines = [Line(item.product_id, item.quantity, item.unit_price) for item in one.items.all()]
    return {
        "id": one.id,
        "user_id": one.user_id,
        "status": one.status,
        "items": [
            {
                "product_id": line.product_id,
                "quantity": line.quantity,
                "unit_price": str(amount(line.unit_price)),
            }
            for line in lines
        ],
        "total_amount": str(amount(records.total_of(lines))),
        "created_at": one.created_at,
    }


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


def accepted(one: AcceptedCheckout, *, status_url: str) -> dict[str, Any]:
    """The answer to a checkout: the 202."""
    return {
        "saga_id": one.saga_id,
        "cart_id": one.cart_id,
        "total_amount": str(amount(one.total_amount)),
        "status": one.status,
        "saga_pattern": one.saga_pattern,
        "status_url": status_url,
    }


def set_aside(one: Checkout) -> dict[str, Any]:
    """A checkout that waits for a person, and why."""
    return {
        "saga_id": one.saga_id,
        "cart_id": one.cart_id,
        "saga_pattern": one.saga_pattern,
        "status": one.status,
        "total_amount": str(amount(one.total_amount)),
        "accepted_at": one.accepted_at,
        "set_aside_at": one.set_aside_at,
        "reason": one.set_aside_reason,
    }


def checkout_status(one: Checkout) -> dict[str, Any]:
    """Where a checkout stands, as carrito knows it; the coordinator knows each step."""
    placed = getattr(one, "order", None)
    failure = {
        "step": one.failure_step,
        "code": one.failure_code,
        "detail": one.failure_detail,
    }
    return {
        "saga_id": one.saga_id,
        "cart_id": one.cart_id,
        "saga_pattern": one.saga_pattern,
        "status": one.status,
        "total_amount": str(amount(one.total_amount)),
        "order_id": placed.id if placed else None,
        "order_status": placed.status if placed else None,
        "failure": failure if one.failure_code else None,
        "accepted_at": one.accepted_at,
        "ended_at": one.ended_at,
    }
