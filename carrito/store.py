"""What carrito stores, and all its SQL: rows locked in a fixed order, written set-based.

Order of locks: a cart, then its checkout, then its order; in a batch by saga id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from carrito.models import Cart, Checkout, Order
from catalogue.commands import Line
from contracts.outcomes import Failure
from contracts.saga import Context
from coordination.store import SETTLED, ended_columns, ended_row, row_of, tell_ended
from participant import sql
from participant.models import owned_by

_execute = sql.of("carrito")


class PriceChange(msgspec.Struct, frozen=True):
    """The price of a piece of a product in the cart, and its price now."""

    product_id: str
    was: Decimal
    now: Decimal


@dataclass(frozen=True, kw_only=True)
class LockedCart:
    """A cart whose row is locked, with its lines.

    `price_changes`: products whose price differs from the cart's. `is_marked`: a line shows an
    earlier change of its price.
    """

    id: str
    user_id: str
    status: str
    version: int
    items: Sequence[Line]
    price_changes: Sequence[PriceChange] = ()
    is_marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A checkout to be recorded: the frozen cart, and the context that the saga's steps see."""

    context: Context
    cart: LockedCart
    total_amount: Decimal
    billing_address: Mapping[str, str]


def lock_carts(*, ids: Sequence[str]) -> dict[str, LockedCart]:
    """Locks the carts, by id. Their lines are read under the lock: they can't change."""
    carts = _execute(
        """
        SELECT id, user_id, status, version FROM carrito_cart WHERE id = ANY(%s)
        ORDER BY id FOR NO KEY UPDATE
        """,
        [sorted(set(ids))],
    )
    lines: dict[str, list[Line]] = {row[0]: [] for row in carts}
    marked = set()
    for cart_id, product_id, quantity, unit_price, is_marked in _execute(
        """
        SELECT cart_id, product_id, quantity, unit_price, previous_price IS NOT NULL
        FROM carrito_cartitem WHERE cart_id = ANY(%s) ORDER BY cart_id, id
        """,
        [list(lines)],
    ):
        lines[cart_id].append(Line(product_id, quantity, unit_price))
        if is_marked:
            marked.add(cart_id)
    return {
        cart_id: LockedCart(
            id=cart_id,
            user_id=user_id,
            status=status,
            version=version,
            items=lines[cart_id],
            is_marked=cart_id in marked,
        )
        for cart_id, user_id, status, version in carts
    }


def products_of(*, cart_id: str, user_id: str | None) -> list[str]:
    """The ids of the products in a cart, without a lock. `user_id`: whose it must be; None: any."""
    rows = _execute(
        """
        SELECT product_id FROM carrito_cartitem AS item WHERE cart_id = %s
        AND (%s::text IS NULL OR EXISTS (
            SELECT FROM carrito_cart WHERE id = item.cart_id AND user_id = %s))
        """,
        [cart_id, user_id, user_id],
    )
    return [row[0] for row in rows]


def show_prices(*, accepted: Sequence[LockedCart], refused: Sequence[LockedCart]) -> None:
    """Sets the lines of these carts to current prices. The changed lines of a refused cart also
    keep the price before.
    """
    shown = [
        *(
            (cart, line.product_id, line.unit_price, None)
            for cart in accepted
            for line in cart.items
        ),
        *(
            (cart, change.product_id, change.now, change.was)
            for cart in refused
            for change in cart.price_changes
        ),
    ]
    if not shown:
        return
    _execute(
        """
        WITH shown AS (
            SELECT * FROM json_to_recordset(%s)
                AS v (cart_id text, version int, product_id text, now numeric, was numeric)
        ), lines AS (
            UPDATE carrito_cartitem AS item
            SET unit_price = shown.now, previous_price = shown.was FROM shown
            WHERE item.cart_id = shown.cart_id AND item.product_id = shown.product_id
        )
        UPDATE carrito_cart AS cart SET version = shown.version FROM shown
        WHERE cart.id = shown.cart_id
        """,
        [
            sql.rows(
                {
                    "cart_id": cart.id,
                    "version": cart.version,
                    "product_id": product_id,
                    "now": now,
                    "was": was,
                }
                for cart, product_id, now, was in shown
            )
        ],
    )


def add_checkouts(*, accepted: Sequence[Snapshot]) -> None:
    """Records the checkouts, and locks their carts for shoppers. A choreographed checkout, which
    its first event starts, is running at once.
    """
    if not accepted:
        return
    _execute(
        """
        WITH given AS (
            SELECT * FROM json_to_recordset(%s)
                     AS v (saga_id text, saga text, saga_pattern text, context jsonb, cart_id text,
                           cart_version int, user_id text, items jsonb,
                           price_changes jsonb, total_amount numeric,
                           billing_address jsonb, runs boolean)
        ), made AS (
            INSERT INTO carrito_checkout
                   (saga_id, saga, saga_pattern, context, cart_id, cart_version, user_id, items,
                    price_changes, total_amount, status, accepted_at)
            SELECT saga_id, saga, saga_pattern, context, cart_id, cart_version, user_id, items,
                   price_changes, total_amount,
                   CASE WHEN runs THEN 'running' ELSE 'pending' END, clock_timestamp()
            FROM given
            RETURNING cart_id
        ), kept AS (
            INSERT INTO carrito_address (saga_id, address)
            SELECT saga_id, billing_address FROM given WHERE billing_address <> '{}'
        )
        UPDATE carrito_cart AS cart SET status = 'checking_out' FROM made
        WHERE cart.id = made.cart_id
        """,
        [
            sql.rows(
                {
                    **row_of(snapshot.context),
                    "cart_id": snapshot.cart.id,
                    "cart_version": snapshot.cart.version,
                    "user_id": snapshot.cart.user_id,
                    "items": snapshot.cart.items,
                    "price_changes": snapshot.cart.price_changes,
                    "total_amount": snapshot.total_amount,
                    "billing_address": snapshot.billing_address,
                }
                for snapshot in accepted
            )
        ],
    )


def add_orders(*, ids: Mapping[str, str], paid: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Makes an order (`ids`: saga id to order id) of each running checkout whose total was paid.
    Returns the totals of the running checkouts, by saga id.

    OFFSET 0 makes PostgreSQL look up each checkout by its key, whatever it estimates of `ended_at`.
    """
    rows = _execute(
        """
        WITH running AS (
            SELECT v.id, v.paid, checkout.*
            FROM json_to_recordset(%s) AS v (saga_id text, id text, paid numeric)
            CROSS JOIN LATERAL (
                SELECT saga_id, cart_id, user_id, total_amount, ended_at
                FROM carrito_checkout WHERE saga_id = v.saga_id OFFSET 0
            ) AS checkout
            WHERE checkout.ended_at IS NULL
        ), made AS (
            INSERT INTO carrito_order
                   (id, saga_id, cart_id, user_id, total_amount, status, created_at)
            SELECT id, saga_id, cart_id, user_id, total_amount, 'pending', clock_timestamp()
            FROM running WHERE total_amount = paid
        )
        SELECT saga_id, total_amount FROM running
        """,
        [
            sql.rows(
                {"saga_id": saga_id, "id": order_id, "paid": paid[saga_id]}
                for saga_id, order_id in ids.items()
            )
        ],
    )
    return dict(rows)


def cancel_orders(*, reasons: Mapping[str, str]) -> set[str]:
    """Cancels the orders of these sagas (`reasons` by saga id); returns the sagas that had one."""
    rows = _execute(
        """
        UPDATE carrito_order AS placed
        SET status = 'cancelled', cancelled_at = clock_timestamp(), cancelled_because = v.reason
        FROM json_to_recordset(%s) AS v (saga_id text, reason text)
        WHERE placed.saga_id = v.saga_id
        RETURNING placed.saga_id
        """,
        [sql.rows({"saga_id": saga_id, "reason": why[:64]} for saga_id, why in reasons.items())],
    )
    return {row[0] for row in rows}


def confirm_orders(*, saga_ids: Sequence[str]) -> dict[str, tuple[str, datetime]]:
    """Confirms pending orders, completes their checkouts, and closes their carts.

    Returns order id and time by saga id, of the orders that were pending.
    """
    rows = _execute(
        f"""
        WITH confirmed AS (
            UPDATE carrito_order SET status = 'confirmed', confirmed_at = clock_timestamp()
            WHERE saga_id = ANY(%s) AND status = 'pending'
            RETURNING saga_id, id, cart_id, confirmed_at
        ), completed AS (
            UPDATE carrito_checkout AS checkout
            SET status = 'completed', ended_at = confirmed.confirmed_at, {SETTLED}
            FROM confirmed WHERE checkout.saga_id = confirmed.saga_id
            RETURNING confirmed.id, confirmed.confirmed_at, {ended_columns("checkout")}
        ), closed AS (
            UPDATE carrito_cart AS cart SET status = 'checked_out'
            FROM confirmed WHERE cart.id = confirmed.cart_id
        )
        SELECT * FROM completed
        """,
        [list(saga_ids)],
    )
    tell_ended(service="carrito", ended=[row[2:] for row in rows])
    return {row[2]: (row[0], row[1]) for row in rows}


def fail_checkouts(*, failures: Mapping[str, Failure]) -> None:
    """Ends the checkouts, and unlocks their carts. A cart that was sold stays closed."""
    ended = _execute(
        f"""
        WITH ended AS (
            UPDATE carrito_checkout AS checkout
            SET status = v.status, failure_step = v.step, failure_code = v.code,
                failure_detail = v.detail, ended_at = clock_timestamp(), {SETTLED}
            FROM json_to_recordset(%s)
                 AS v (saga_id text, status text, step text, code text, detail text)
            WHERE checkout.saga_id = v.saga_id
            RETURNING cart_id, {ended_columns("checkout")}
        ), unlocked AS (
            UPDATE carrito_cart AS cart SET status = 'active' FROM ended
            WHERE cart.id = ended.cart_id AND cart.status = 'checking_out'
        )
        SELECT * FROM ended
        """,
        [sql.rows(ended_row(saga_id, failure) for saga_id, failure in failures.items())],
    )
    tell_ended(service="carrito", ended=[row[1:] for row in ended])


def total_of(items: Sequence[Line]) -> Decimal:
    """The sum over the lines, in the currency of their prices."""
    return sum((line.unit_price * line.quantity for line in items), Decimal("0.00"))


# Queries.


def cart(*, cart_id: str, user_id: str | None = None) -> Cart | None:
    """The cart with its items. `user_id`: whose it must be."""
    found = Cart.objects.prefetch_related("items").filter(owned_by(user_id), pk=cart_id)
    return found.first()


def order(*, order_id: str, user_id: str | None = None) -> Order | None:
    """The order with its checkout."""
    found = Order.objects.select_related("checkout").filter(owned_by(user_id), pk=order_id)
    return found.first()


def orders_of_cart(*, cart_id: str) -> list[Order]:
    """Newest first; at most one of them is not cancelled."""
    return list(
        Order.objects.select_related("checkout").filter(cart_id=cart_id).order_by("-created_at")
    )


def checkout(*, saga_id: str, user_id: str | None = None) -> Checkout | None:
    """The checkout with its order, if any; without its lines, which may be damaged."""
    found = Checkout.objects.select_related("order").defer("items")
    return found.filter(owned_by(user_id), pk=saga_id).first()


def saga_of_order(*, order_id: str) -> str | None:
    """The saga that an order belongs to."""
    return Order.objects.filter(pk=order_id).values_list("checkout_id", flat=True).first()
