"""`carrito.records` in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import IntegrityError

from carrito.models import CartStatus, OrderStatus
from carrito.records import Accepted, LockedCart
from checker.explorer.clock import BEGINNING, Clock
from checker.explorer.store import Store
from contracts.commands import Checkout
from contracts.outcomes import Failure
from contracts.statuses import SagaStatus


class CheckoutRow(NamedTuple):
    checkout: Checkout
    status: str
    failure: Failure | None
    accepted_at: float
    handed_over_at: float | None = None
    ended_at: float | None = None


class OrderRow(NamedTuple):
    order_id: str
    status: OrderStatus
    created_at: float
    confirmed_at: float | None = None
    cancelled_at: float | None = None


class Records:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.carts = store.table("carrito.cart")
        self.checkouts = store.table("carrito.checkout")
        self.orders = store.table("carrito.order")

    def lock_carts(self, *, ids: Sequence[str]) -> dict[str, LockedCart]:
        found = {}
        for cart_id in sorted(set(ids)):
            if cart_id in self.carts:
                self._store.lock(self.carts, cart_id)
                found[cart_id] = self.carts[cart_id]
        self._store.tell("after reading")
        return found

    def add_checkouts(self, *, accepted: Sequence[Accepted]) -> None:
        for one in accepted:
            checkout = one.checkout
            if any(self._takes(row, checkout.cart_id) for row in self.checkouts.values()):
                raise IntegrityError("checkout_once_a_cart")
            row = CheckoutRow(checkout, "pending", None, self._clock.stamp())
            self._store.insert(
                self.checkouts, checkout.saga_id, row, constraint="carrito_checkout_pkey"
            )
            self._set_cart(checkout.cart_id, CartStatus.CHECKING_OUT)

    def not_handed_over(
        self, *, pattern: str, limit: int, but_not: Sequence[str] = ()
    ) -> list[Checkout]:
        waiting = [
            row.checkout
            for row in self.checkouts.values()
            if row.handed_over_at is None and row.checkout.saga_pattern == pattern
        ]
        return waiting[:limit]

    def mark_handed_over(self, *, saga_ids: Sequence[str]) -> None:
        for saga_id in saga_ids:
            row = self.checkouts[saga_id]
            status = "running" if row.status == "pending" else row.status
            self._store.write(
                self.checkouts,
                saga_id,
                row._replace(status=status, handed_over_at=self._clock.stamp()),
            )

    def add_orders(self, *, ids: Mapping[str, str]) -> set[str]:
        made = set()
        for saga_id, order_id in ids.items():
            checkout = self.checkouts.get(saga_id)
            if checkout and checkout.ended_at is None:
                row = OrderRow(order_id, OrderStatus.PENDING, self._clock.stamp())
                self._store.insert(self.orders, saga_id, row, constraint="order_once_a_checkout")
                made.add(saga_id)
        return made

    def cancel_orders(self, *, reasons: Mapping[str, str]) -> set[str]:
        found = {saga_id for saga_id in reasons if saga_id in self.orders}
        for saga_id in found:
            row = self.orders[saga_id]
            self._store.write(
                self.orders,
                saga_id,
                row._replace(status=OrderStatus.CANCELLED, cancelled_at=self._clock.stamp()),
            )
        return found

    def confirm_orders(self, *, saga_ids: Sequence[str]) -> dict[str, tuple[str, datetime]]:
        confirmed = {}
        for saga_id in saga_ids:
            row = self.orders.get(saga_id)
            if row is None or row.status is not OrderStatus.PENDING:
                continue
            now = self._clock.now()
            at = (now - BEGINNING).total_seconds()
            self._store.write(
                self.orders, saga_id, row._replace(status=OrderStatus.CONFIRMED, confirmed_at=at)
            )
            checkout = self.checkouts[saga_id]
            self._store.write(
                self.checkouts, saga_id, checkout._replace(status="completed", ended_at=at)
            )
            self._set_cart(checkout.checkout.cart_id, CartStatus.CHECKED_OUT)
            confirmed[saga_id] = (row.order_id, now)
        return confirmed

    def end_without_sale(
        self, *, failures: Mapping[str, Failure], statuses: Mapping[str, SagaStatus]
    ) -> None:
        for saga_id, failure in failures.items():
            row = self.checkouts.get(saga_id)
            if row is None:
                continue
            at = self._clock.stamp()
            ended = row._replace(
                status=statuses[saga_id].value,
                failure=failure,
                ended_at=at,
                handed_over_at=at if row.handed_over_at is None else row.handed_over_at,
            )
            self._store.write(self.checkouts, saga_id, ended)
            cart_id = row.checkout.cart_id
            if self.carts[cart_id].status is CartStatus.CHECKING_OUT:
                self._set_cart(cart_id, CartStatus.ACTIVE)

    def _takes(self, row: CheckoutRow, cart_id: str) -> bool:
        is_open = row.ended_at is None or row.status == "completed"
        return is_open and row.checkout.cart_id == cart_id

    def _set_cart(self, cart_id: str, status: CartStatus) -> None:
        cart = self.carts[cart_id]
        row = LockedCart(
            id=cart.id,
            user_id=cart.user_id,
            status=status,
            version=cart.version,
            items=cart.items,
        )
        self._store.write(self.carts, cart_id, row)
