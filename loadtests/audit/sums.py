"""What must hold for the shop as a whole, of which no single saga's rows can tell."""

from collections.abc import Iterator

from loadtests.audit.reading import rows
from loadtests.audit.rest import SPEAKERS

_STOCK = """
    WITH held AS (
        SELECT product_id,
               sum(quantity) FILTER (WHERE status = 'reserved') AS reserved,
               sum(quantity) FILTER (WHERE status = 'committed') AS sold
        FROM inventario_reservationline AS line
        JOIN inventario_reservation AS reservation ON reservation.id = reservation_id
        GROUP BY product_id
    )
    SELECT id, sku, initial, available, product.reserved, product.sold,
           coalesce(held.reserved, 0), coalesce(held.sold, 0)
    FROM inventario_product AS product LEFT JOIN held ON product_id = id
    WHERE initial <> available + product.reserved + product.sold
       OR least(available, product.reserved, product.sold) < 0
       OR product.reserved <> coalesce(held.reserved, 0)
       OR product.sold <> coalesce(held.sold, 0)
    ORDER BY id
"""

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

_KEYS_OF_USERS = """
    SELECT user_id || ' ' || key, string_agg(saga_id, ', ' ORDER BY saga_id)
    FROM carrito_idempotencykey GROUP BY user_id, key HAVING count(*) > 1 ORDER BY 1
"""
_KEYS_OF_MERCHANTS = """
    SELECT merchant_id || ' ' || idempotency_key, string_agg(id, ', ' ORDER BY id)
    FROM pagos_payment
    WHERE idempotency_key > '' GROUP BY merchant_id, idempotency_key HAVING count(*) > 1 ORDER BY 1
"""
_KEYS_OF_NOTHING = """
    SELECT user_id || ' ' || key, saga_id FROM carrito_idempotencykey AS held
    WHERE NOT EXISTS (SELECT FROM carrito_checkout WHERE saga_id = held.saga_id) ORDER BY 1
"""

# Each service's giving up is a fact of its own, under one name.
_FACTS = """
    SELECT saga_id, event_type, count(DISTINCT event_id) FROM {service}_outboxentry
    WHERE event_type <> 'step.parked'
    GROUP BY saga_id, event_type HAVING count(DISTINCT event_id) > 1 ORDER BY 1, 2
"""

_PLAIN_PAYMENTS = """
    SELECT payment.id, status, payment.amount, refund.amount
    FROM pagos_payment AS payment LEFT JOIN pagos_refund AS refund ON payment_id = payment.id
    WHERE payment.saga_id IS NULL
      AND (refund.id IS NOT NULL) <> (status = 'refunded') OR refund.amount <> payment.amount
    ORDER BY payment.id
"""


def stock() -> Iterator[str]:
    """1: all that came in is available, reserved or sold, as the reservations say."""
    for row in rows(service="inventario", statement=_STOCK):
        product_id, sku, initial, available, reserved, sold, held, bought = row
        yield (
            f"product {product_id} ({sku}): {initial} came in; {available} available"
            f" + {reserved} reserved + {sold} sold; its reservations hold {held}, sold {bought}"
        )


def plain_payments() -> Iterator[str]:
    """2: a payment of no saga is refunded whole, or not at all."""
    for payment_id, status, amount, refunded in rows(service="pagos", statement=_PLAIN_PAYMENTS):
        yield f"payment {payment_id} of {amount} is {status}, and {refunded or 0} was refunded"


def carts() -> Iterator[tuple[str, str]]:
    """4: a cart is locked while a checkout runs, and bought at most once. Gives (saga id, what)."""
    for cart_id, status, wanted, saga_id, sales in rows(service="carrito", statement=_CARTS):
        if sales > 1:
            yield saga_id or "", f"its cart {cart_id} was bought {sales} times"
        if status != wanted:
            yield saga_id or "", f"its cart {cart_id} is {status}, not {wanted}"


def idempotency_keys() -> Iterator[str]:
    """8: a user's key stands for one checkout, a merchant's for one payment."""
    for service, statement in (("carrito", _KEYS_OF_USERS), ("pagos", _KEYS_OF_MERCHANTS)):
        for key, ids in rows(service=service, statement=statement):
            yield f"the idempotency key {key!r} stands for several at {service}: {ids}"
    for key, saga_id in rows(service="carrito", statement=_KEYS_OF_NOTHING):
        yield f"the idempotency key {key!r} stands for saga {saga_id}, which was never accepted"


def facts() -> Iterator[tuple[str, str]]:
    """8: a fact is the same event whenever it is said. Gives (saga id, what)."""
    for service in SPEAKERS:
        for saga_id, event_type, ids in rows(
            service=service, statement=_FACTS.format(service=service)
        ):
            yield saga_id, f"{service} has said {event_type} under {ids} ids"


def count(*, service: str, table: str) -> int:
    """How many rows a table has."""
    return int(rows(service=service, statement=f"SELECT count(*) FROM {table}")[0][0])
