"""All SQL of the operations: rows locked in a fixed order, written set-based.

Order of locks: a cart, then its checkout, then its order; in a batch by saga id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from contracts.commands import Checkout, Line
from contracts.outcomes import Failure
from contracts.statuses import SagaStatus
from sagas import sql


@dataclass(frozen=True, kw_only=True)
class LockedCart:
    """A cart whose row is locked, with its lines."""

    id: str
    user_id: str
    status: str
    version: int
    items: Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A checkout to be recorded."""

    checkout: Checkout
    cart_version: int


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A stored checkout that is none any more, and what is wrong with it."""

    saga_id: str
    reason: str


def lock_carts(*, ids: Sequence[str]) -> dict[str, LockedCart]:
    """The carts, by id. The lines are read once the lock is held: nobody changes them then."""
    carts = _execute(
        """
        SELECT id, user_id, status, version FROM carrito_cart WHERE id = ANY(%s)
        ORDER BY id FOR NO KEY UPDATE
        """,
        [sorted(set(ids))],
    )
    lines: dict[str, list[Line]] = {row[0]: [] for row in carts}
    for cart_id, product_id, quantity, unit_price in _execute(
        """
        SELECT cart_id, product_id, quantity, unit_price FROM carrito_cartitem
        WHERE cart_id = ANY(%s) ORDER BY cart_id, id
        """,
        [list(lines)],
    ):
        lines[cart_id].append(Line(product_id, quantity, unit_price))
    return {
        row[0]: LockedCart(
            id=row[0],
            user_id=row[1],
            status=row[2],
            version=row[3],
            items=lines[row[0]],
        )
        for row in carts
    }


def add_checkouts(*, accepted: Sequence[Accepted]) -> None:
    """Records the checkouts, and locks their carts for shoppers."""
    if not accepted:
        return
    _execute(
        """
        WITH made AS (
            INSERT INTO carrito_checkout
                   (saga_id, cart_id, cart_version, user_id, items, total_amount, payment_method,
                    billing_address, saga_pattern, traceparent, status, accepted_at)
            SELECT saga_id, cart_id, cart_version, user_id, items, total_amount, payment_method,
                   billing_address, saga_pattern, traceparent, 'pending', clock_timestamp()
            FROM json_to_recordset(%s)
                 AS v (saga_id text, cart_id text, cart_version int, user_id text, items jsonb,
                       total_amount numeric, payment_method text, billing_address jsonb,
                       saga_pattern text, traceparent text)
            RETURNING cart_id
        )
        UPDATE carrito_cart AS cart SET status = 'checking_out' FROM made
        WHERE cart.id = made.cart_id
        """,
        [
            sql.rows(
                {**msgspec.structs.asdict(one.checkout), "cart_version": one.cart_version}
                for one in accepted
            )
        ],
    )


_lines = msgspec.json.Decoder(list[Line])
_FIELDS = (
    *("saga_id", "cart_id", "user_id", "items", "total_amount", "payment_method"),
    *("saga_pattern", "billing_address", "traceparent"),
)


def not_handed_over(
    *, pattern: str, limit: int, but_not: Sequence[str] = ()
) -> list[Checkout | Unreadable]:
    """Accepted checkouts that their coordinator has not answered for yet, oldest first.

    `but_not`: saga ids to be left alone for now. One that can't be read harms no other.
    """
    rows = _execute(
        """
        SELECT saga_id, cart_id, user_id, items::text, total_amount, payment_method, saga_pattern,
               billing_address::text, traceparent
        FROM carrito_checkout
        WHERE handed_over_at IS NULL AND set_aside_at IS NULL AND saga_pattern = %s
          AND saga_id <> ALL(%s)
        ORDER BY accepted_at LIMIT %s
        """,
        [pattern, list(but_not), limit],
    )
    return [_stored(row) for row in rows]


def _stored(row: Sequence[Any]) -> Checkout | Unreadable:
    fields = dict(zip(_FIELDS, row, strict=True))
    try:
        fields["items"] = _lines.decode(fields["items"])
        fields["billing_address"] = msgspec.json.decode(fields["billing_address"])
        return msgspec.convert(fields, Checkout)
    except (msgspec.MsgspecError, RecursionError) as error:
        return Unreadable(saga_id=row[0], reason=f"its row can't be read: {error}")


def set_aside(*, reasons: Mapping[str, str]) -> None:
    """These wait for a person (`reasons`, by saga id), and no other waits for them."""
    _execute(
        """
        UPDATE carrito_checkout AS checkout
        SET set_aside_at = clock_timestamp(), set_aside_reason = v.reason
        FROM json_to_recordset(%s) AS v (saga_id text, reason text)
        WHERE checkout.saga_id = v.saga_id AND handed_over_at IS NULL
        """,
        [sql.rows({"saga_id": one, "reason": why} for one, why in reasons.items())],
    )


def lock_set_aside(*, saga_ids: Sequence[str]) -> list[str]:
    """Those of them that are set aside, locked."""
    rows = _execute(
        """
        SELECT saga_id FROM carrito_checkout
        WHERE saga_id = ANY(%s) AND set_aside_at IS NOT NULL
        ORDER BY saga_id FOR NO KEY UPDATE
        """,
        [list(saga_ids)],
    )
    return [row[0] for row in rows]


def take_back(*, saga_ids: Sequence[str]) -> set[str]:
    """These are handed over again, from the start; which of them were set aside."""
    rows = _execute(
        """
        UPDATE carrito_checkout SET set_aside_at = NULL, set_aside_reason = ''
        WHERE saga_id = ANY(%s) AND set_aside_at IS NOT NULL
        RETURNING saga_id
        """,
        [list(saga_ids)],
    )
    return {row[0] for row in rows}


def mark_handed_over(*, saga_ids: Sequence[str]) -> None:
    """From now on the coordinator has them. Some may have ended meanwhile, and stay ended."""
    _execute(
        """
        UPDATE carrito_checkout
        SET handed_over_at = clock_timestamp(),
            status = CASE status WHEN 'pending' THEN 'running' ELSE status END
        WHERE saga_id = ANY(%s)
        """,
        [list(saga_ids)],
    )


def add_orders(*, ids: Mapping[str, str]) -> set[str]:
    """An order (`ids`: saga id to order id) for each checkout that still runs; which ones did.

    OFFSET 0 has PostgreSQL look up each checkout by its key, whatever it believes of `ended_at`.
    """
    rows = _execute(
        """
        INSERT INTO carrito_order
               (id, saga_id, cart_id, user_id, total_amount, status, created_at)
        SELECT v.id, checkout.saga_id, checkout.cart_id, checkout.user_id, checkout.total_amount,
               'pending', clock_timestamp()
        FROM json_to_recordset(%s) AS v (saga_id text, id text)
        CROSS JOIN LATERAL (
            SELECT * FROM carrito_checkout WHERE saga_id = v.saga_id OFFSET 0
        ) AS checkout
        WHERE checkout.ended_at IS NULL
        RETURNING saga_id
        """,
        [sql.rows({"saga_id": saga_id, "id": order_id} for saga_id, order_id in ids.items())],
    )
    return {row[0] for row in rows}


def cancel_orders(*, reasons: Mapping[str, str]) -> set[str]:
    """Cancels the orders of these sagas (`reasons` by saga id); which ones there were."""
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
    """Confirms pending orders; their checkouts are completed, their carts checked out.

    Returns order id and time by saga id, for those that were pending.
    """
    rows = _execute(
        """
        WITH confirmed AS (
            UPDATE carrito_order SET status = 'confirmed', confirmed_at = clock_timestamp()
            WHERE saga_id = ANY(%s) AND status = 'pending'
            RETURNING saga_id, id, cart_id, confirmed_at
        ), completed AS (
            UPDATE carrito_checkout AS checkout
            SET status = 'completed', ended_at = confirmed.confirmed_at, set_aside_at = NULL
            FROM confirmed WHERE checkout.saga_id = confirmed.saga_id
        ), closed AS (
            UPDATE carrito_cart AS cart SET status = 'checked_out'
            FROM confirmed WHERE cart.id = confirmed.cart_id
        )
        SELECT saga_id, id, confirmed_at FROM confirmed
        """,
        [list(saga_ids)],
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def end_without_sale(
    *, failures: Mapping[str, Failure], statuses: Mapping[str, SagaStatus]
) -> None:
    """Ends the checkouts, unlocks their carts. A cart that was sold and returned stays closed."""
    _execute(
        """
        WITH ended AS (
            UPDATE carrito_checkout AS checkout
            SET status = v.status, failure_step = v.step, failure_code = v.code,
                failure_detail = v.detail, ended_at = clock_timestamp(),
                handed_over_at = coalesce(handed_over_at, clock_timestamp()),
                set_aside_at = NULL, set_aside_reason = ''
            FROM json_to_recordset(%s)
                 AS v (saga_id text, status text, step text, code text, detail text)
            WHERE checkout.saga_id = v.saga_id
            RETURNING checkout.cart_id
        )
        UPDATE carrito_cart AS cart SET status = 'active' FROM ended
        WHERE cart.id = ended.cart_id AND cart.status = 'checking_out'
        """,
        [
            sql.rows(
                {
                    "saga_id": one,
                    "status": statuses[one],
                    "step": failure.step[:64],
                    "code": failure.code[:64],
                    "detail": failure.detail,
                }
                for one, failure in failures.items()
            )
        ],
    )


def ended_among(saga_ids: Sequence[str]) -> set[str]:
    """Which of these checkouts have ended."""
    rows = _execute(
        "SELECT saga_id FROM carrito_checkout WHERE saga_id = ANY(%s) AND ended_at IS NOT NULL",
        [list(saga_ids)],
    )
    return {row[0] for row in rows}


def total_of(items: Sequence[Line]) -> Decimal:
    """The sum over the lines, in the currency of their prices."""
    return sum((line.unit_price * line.quantity for line in items), Decimal("0.00"))


def _execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service="carrito", sql=statement, values=values)
