"""The checkout's SQL for a rival: that of the shop's stores (catalogue/checkout.py has the steps),
for one checkout at a time and in plain psycopg.

The tables are made by the shop's migrations, in a database of the rival. What only the shop's
coordination needs is omitted: barrier, outbox, trail, and the intent to charge, which an engine
that records its steps does not need.
"""

import json
import queue
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

Checkout = Mapping[str, Any]
"""JSON values: first the request; from the acceptance on the input of the steps."""
Part = Callable[[psycopg.Connection, Checkout], Checkout | None]
CONNECTIONS = 16
"""Of a process to its tables; further threads wait for one."""


def accept(connection: psycopg.Connection, asked: Checkout) -> Checkout:
    """Locks and freezes the cart, and records the checkout; returns the input of later steps."""
    cart_id, saga_id = asked["cart_id"], asked["saga_id"]
    user_id, version = _one(
        connection,
        "SELECT user_id, version FROM carrito_cart WHERE id = %s FOR NO KEY UPDATE",
        [cart_id],
    )
    rows = connection.execute(
        """
        SELECT product_id, quantity, unit_price FROM carrito_cartitem
        WHERE cart_id = %s ORDER BY cart_id, id
        """,
        [cart_id],
    ).fetchall()
    total = sum(quantity * price for _, quantity, price in rows)
    items = [{"product_id": p, "quantity": n, "unit_price": str(price)} for p, n, price in rows]
    frozen = {**asked, "user_id": user_id, "items": items, "total_amount": str(total)}
    context = {name: frozen[name] for name in ("items", "total_amount", "payment_method")}
    connection.execute(
        """
        WITH made AS (
            INSERT INTO carrito_checkout
                   (saga_id, saga, saga_pattern, context, cart_id, cart_version, user_id, items,
                    total_amount, status, accepted_at)
            VALUES (%s, 'checkout', 'rival', %s, %s, %s, %s, %s, %s, 'running', clock_timestamp())
            RETURNING cart_id, saga_id
        ), kept AS (
            INSERT INTO carrito_address (saga_id, address)
            SELECT saga_id, v.address FROM made, (SELECT %s::jsonb) AS v (address)
            WHERE v.address <> '{}'
        )
        UPDATE carrito_cart AS cart SET status = 'checking_out' FROM made
        WHERE cart.id = made.cart_id
        """,
        [
            *(saga_id, json.dumps(context), cart_id, version, user_id, json.dumps(items)),
            *(total, json.dumps(asked["billing_address"])),
        ],
    )
    return frozen


def reserve(connection: psycopg.Connection, checkout: Checkout) -> None:
    products = sorted(int(item["product_id"]) for item in checkout["items"])
    wanted = {int(item["product_id"]): item["quantity"] for item in checkout["items"]}
    rows = connection.execute(
        """
        SELECT id, available FROM inventario_product WHERE id = ANY(%s)
        ORDER BY id FOR NO KEY UPDATE
        """,
        [products],
    ).fetchall()
    if len(rows) < len(wanted) or any(available < wanted[id_] for id_, available in rows):
        raise ValueError(f"out of stock for {checkout['saga_id']}, with plenty supplied")
    connection.execute(
        """
        WITH wanted AS (
            SELECT * FROM unnest(%(products)s::bigint[], %(quantities)s::int[]) AS v (id, quantity)
        ), moved AS (
            UPDATE inventario_product AS product
            SET available = available - quantity, reserved = reserved + quantity
            FROM wanted WHERE product.id = wanted.id
        ), made AS (
            INSERT INTO inventario_reservation (saga_id, step, subject, status, expires_at)
            VALUES (%(saga_id)s, 'reserve_inventory', %(cart_id)s, 'reserved',
                    now() + interval '1800 s')
            RETURNING id
        )
        INSERT INTO inventario_reservationline (reservation_id, product_id, quantity)
        SELECT made.id, wanted.id, wanted.quantity FROM made CROSS JOIN wanted
        """,
        {
            **{name: checkout[name] for name in ("saga_id", "cart_id")},
            "products": products,
            "quantities": [wanted[product] for product in products],
        },
    )


def charge(connection: psycopg.Connection, checkout: Checkout) -> None:
    """At the card network: once per key, however often it is repeated."""
    connection.execute(
        """
        INSERT INTO tarjetas_charge
               (key, saga_id, saga, amount, payment_method, fingerprint, status, code, detail,
                answers_at, key_until)
        VALUES (%s, %s, 'checkout', %s, %s, %s, 'captured', '', '', now(),
                now() + interval '86400 s')
        ON CONFLICT (key, past) DO NOTHING
        """,
        [
            *(f"{checkout['saga_id']}:process_payment", checkout["saga_id"]),
            *(checkout["total_amount"], checkout["payment_method"], checkout["saga_id"]),
        ],
    )


def pay(connection: psycopg.Connection, checkout: Checkout) -> None:
    """The payment's own row, once the network has taken the money."""
    connection.execute(
        """
        INSERT INTO pagos_payment
               (id, saga_id, step, subject, amount, payment_method, status, taken_by)
        VALUES (gen_random_uuid()::text, %s, 'process_payment', %s, %s, %s, 'captured',
                'process_payment')
        """,
        [checkout[name] for name in ("saga_id", "cart_id", "total_amount", "payment_method")],
    )


def create_order(connection: psycopg.Connection, checkout: Checkout) -> None:
    connection.execute(
        """
        INSERT INTO carrito_order
               (id, saga_id, cart_id, user_id, total_amount, status, created_at)
        SELECT %s, saga_id, cart_id, user_id, total_amount, 'pending', clock_timestamp()
        FROM carrito_checkout WHERE saga_id = %s AND ended_at IS NULL
        """,
        [str(uuid.uuid4()), checkout["saga_id"]],
    )


def sell(connection: psycopg.Connection, checkout: Checkout) -> None:
    """Sells what was reserved."""
    reservation, products, quantities = _one(
        connection,
        """
        SELECT id, products, quantities FROM inventario_reservation AS held
        CROSS JOIN LATERAL (
            SELECT array_agg(product_id ORDER BY product_id) AS products,
                   array_agg(quantity ORDER BY product_id) AS quantities
            FROM inventario_reservationline WHERE reservation_id = held.id
        ) AS line
        WHERE saga_id = %s AND status = 'reserved' FOR NO KEY UPDATE OF held
        """,
        [checkout["saga_id"]],
    )
    connection.execute(
        """
        WITH marked AS (
            UPDATE inventario_reservation SET status = 'sold', changed_at = clock_timestamp()
            WHERE id = %s
        ), change AS MATERIALIZED (
            SELECT * FROM unnest(%s::bigint[], %s::int[]) AS v (id, quantity)
        ), locked AS MATERIALIZED (
            SELECT id FROM inventario_product WHERE id IN (SELECT id FROM change)
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE inventario_product AS product
        SET reserved = product.reserved - quantity, sold = product.sold + quantity
        FROM locked JOIN change USING (id) WHERE product.id = locked.id
        """,
        [reservation, products, quantities],
    )


def confirm(connection: psycopg.Connection, checkout: Checkout) -> None:
    """The outcome: the commit of this step ends the checkout."""
    connection.execute(
        """
        WITH confirmed AS (
            UPDATE carrito_order SET status = 'confirmed', confirmed_at = clock_timestamp()
            WHERE saga_id = %s AND status = 'pending'
            RETURNING saga_id, cart_id, confirmed_at
        ), completed AS (
            UPDATE carrito_checkout AS checkout
            SET status = 'completed', ended_at = confirmed.confirmed_at
            FROM confirmed WHERE checkout.saga_id = confirmed.saga_id
        )
        UPDATE carrito_cart AS cart SET status = 'checked_out'
        FROM confirmed WHERE cart.id = confirmed.cart_id
        """,
        [checkout["saga_id"]],
    )


ACCEPT = "accept_checkout"
STEPS: dict[str, tuple[Part, ...]] = {
    ACCEPT: (accept,),
    "reserve_inventory": (reserve,),
    "process_payment": (charge, pay),
    "create_order": (create_order,),
    "commit_inventory": (sell,),
    "confirm_order": (confirm,),
}
"""Each is one transaction, but a payment is two, as the card network has a database of its own."""


def take(connection: psycopg.Connection, step: str, checkout: Checkout) -> Checkout:
    """Takes a step, durably; returns the input of later steps."""
    for part in STEPS[step]:
        with connection.transaction():
            checkout = part(connection, checkout) or checkout
    return checkout


class ConnectionPool:
    """Connections to a rival's tables, lent to one thread at a time."""

    def __init__(self, *, url: str) -> None:
        self._url = url
        self._free: queue.LifoQueue[psycopg.Connection | None] = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self._free.put(None)

    def take(self, step: str, checkout: Checkout) -> Checkout:
        """Like the function, with a free connection; waits for one."""
        with self.lent() as connection:
            return take(connection, step, checkout)

    @contextmanager
    def lent(self) -> Iterator[psycopg.Connection]:
        """A connection in autocommit."""
        connection = self._free.get()
        try:
            connection = connection or psycopg.connect(self._url, autocommit=True)
            yield connection
        finally:
            self._free.put(connection)


def _one(connection: psycopg.Connection, statement: str, values: list[Any]) -> tuple[Any, ...]:
    """The row that must exist."""
    row = connection.execute(statement, values).fetchone()
    if row is None:
        raise LookupError(f"no row for {values}")
    return row
