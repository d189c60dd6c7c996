"""carrito: a cart is locked while its checkout runs, and bought at most once; an order has the
lines and total of its checkout.
"""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, money
from loadtests.audit.generic import effects_of
from loadtests.audit.reading import rows


class CheckoutRow(NamedTuple):
    """A checkout with its order. `lines`: as `1x2,3x1`; `priced`: their total, None if a line can't
    be read.
    """

    saga_id: str
    priced: int | None
    lines: str
    order_id: str | None
    order_status: str | None
    order_total: int | None
    ordered_at: float | None
    confirmed_at: float | None
    cancelled_at: float | None


# Damaged lines are reported, and must not stop the audit.
SOURCES = [
    RowSource(
        "carrito",
        CheckoutRow,
        """
        SELECT checkout.saga_id,
               (SELECT sum((line ->> 'quantity')::numeric * (line ->> 'unit_price')::numeric) * 100
                FROM jsonb_array_elements(readable) AS line),
               (SELECT string_agg((line ->> 'product_id') || 'x' || (line ->> 'quantity'), ','
                                  ORDER BY (line ->> 'product_id') COLLATE "C")
                FROM jsonb_array_elements(readable) AS line),
               placed.id, placed.status, (placed.total_amount * 100)::bigint,
               extract(epoch FROM placed.created_at)::float8,
               extract(epoch FROM confirmed_at)::float8, extract(epoch FROM cancelled_at)::float8
        FROM (
            SELECT saga_id, CASE WHEN jsonb_typeof(items) = 'array' AND NOT jsonb_path_exists(
                items,
                '$[*] ? (!(@.quantity.type() == "number"
                           && @.unit_price like_regex "^[0-9]{1,12}([.][0-9]+)?$"))'
            ) THEN items END AS readable
            FROM carrito_checkout
        ) AS checkout
        LEFT JOIN carrito_order AS placed ON placed.saga_id = checkout.saga_id
        """,
    )
]

_CARTS = """
    WITH wanted AS (
        SELECT checkout.cart_id,
               CASE WHEN bool_or(ended_at IS NULL) THEN 'checking_out'
                    WHEN bool_or(confirmed_at IS NOT NULL) THEN 'checked_out'
                    ELSE 'active' END AS status,
               (array_agg(checkout.saga_id ORDER BY accepted_at DESC))[1] AS saga_id,
               count(*) FILTER (WHERE checkout.status = 'completed') AS sales
        FROM carrito_checkout AS checkout
        LEFT JOIN carrito_order AS placed ON placed.saga_id = checkout.saga_id
        GROUP BY checkout.cart_id
    )
    SELECT cart.id, cart.status, coalesce(wanted.status, 'active'), saga_id, coalesce(sales, 0)
    FROM carrito_cart AS cart LEFT JOIN wanted ON cart_id = cart.id
    WHERE cart.status <> coalesce(wanted.status, 'active') OR sales > 1
    ORDER BY cart.id
"""

EFFECTS = effects_of(
    CheckoutRow,
    {
        ("order", "carrito.create_order", Direction.DO): lambda row, _: row.order_id,
        ("cancelled order", "carrito.create_order", Direction.UNDO): lambda row, _: (
            row.cancelled_at
        ),
        ("confirmed order", "carrito.confirm_order", Direction.DO): lambda row, _: row.confirmed_at,
    },
)
COUNTED = ()


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: the lines add up to the total. 6: one order. 8: its times are in order."""
    found, accepted = saga.of(CheckoutRow), saga.accepted
    if not found or accepted is None:
        return
    if len(found) > 1:
        yield 6, f"there are {len(found)} orders"
    checkout = found[0]
    if saga.is_over and checkout.priced != accepted.total:
        yield 4, f"total {money(accepted.total)}, but its lines come to {money(checkout.priced)}"
    if checkout.ordered_at is not None and checkout.ordered_at < accepted.accepted_at:
        before = accepted.accepted_at - checkout.ordered_at
        yield 8, f"ordered {before:.3f} s before it was accepted"
    for name, at in (("confirmed", checkout.confirmed_at), ("cancelled", checkout.cancelled_at)):
        if at is not None and at < (checkout.ordered_at or at):
            yield 8, f"its order was {name} before it was placed"


def sums() -> Iterator[tuple[int, str, str]]:
    """4: a cart is locked while a checkout runs, and bought at most once."""
    for cart_id, status, wanted, saga_id, sales in rows(service="carrito", statement=_CARTS):
        if sales > 1:
            yield 4, saga_id or "", f"its cart {cart_id} was bought {sales} times"
        if status != wanted:
            yield 4, saga_id or "", f"its cart {cart_id} is {status}, not {wanted}"
