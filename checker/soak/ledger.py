"""What the services' own tables say of a soak's checkouts, by SQL that shares nothing with the
audit's: two readers that err in the same way are less likely than one."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import psycopg

Read = Callable[[str, str], list[tuple[Any, ...]]]
"""Gives the rows of a statement in a service's database: `read(service, statement)`."""


class Checkout(NamedTuple):
    """carrito's. Money in cents, times in seconds since 1970, `lines`: quantity by product."""

    saga_id: str
    key: str
    status: str
    total: int
    accepted_at: float
    ended_at: float | None
    lines: Mapping[str, int]


class Order(NamedTuple):
    """carrito's."""

    saga_id: str
    status: str
    total: int


class Money(NamedTuple):
    """All that pagos took and gave back for a saga, in cents; `charges`: accepted payments."""

    saga_id: str
    charges: int
    captured: int
    refunds: int
    refunded: int


class Stock(NamedTuple):
    """inventario's product, as it counts it itself."""

    product_id: str
    initial: int
    available: int
    reserved: int
    sold: int


class Ledger(NamedTuple):
    """Everything."""

    checkouts: list[Checkout]
    orders: list[Order]
    money: list[Money]
    stock: list[Stock]


_CHECKOUTS = """
    SELECT saga_id,
           coalesce((SELECT min(key) FROM carrito_idempotencykey AS held
                     WHERE held.saga_id = checkout.saga_id), ''),
           status, (total_amount * 100)::bigint,
           extract(epoch FROM accepted_at)::float8, extract(epoch FROM ended_at)::float8,
           (SELECT json_object_agg(line ->> 'product_id', (line ->> 'quantity')::int)
            FROM jsonb_array_elements(items) AS line)
    FROM carrito_checkout AS checkout
"""
_ORDERS = "SELECT saga_id, status, (total_amount * 100)::bigint FROM carrito_order"
_MONEY = """
    SELECT payment.saga_id, count(*) FILTER (WHERE status <> 'refused'),
           coalesce(sum(payment.amount) FILTER (WHERE status <> 'refused') * 100, 0)::bigint,
           count(refund.id), coalesce(sum(refund.amount) * 100, 0)::bigint
    FROM pagos_payment AS payment LEFT JOIN pagos_refund AS refund ON refund.payment_id = payment.id
    WHERE payment.saga_id IS NOT NULL GROUP BY payment.saga_id
"""
_STOCK = "SELECT id::text, initial, available, reserved, sold FROM inventario_product"


def read_ledger(*, read: Read) -> Ledger:
    """All of it, as it is now."""
    return Ledger(
        checkouts=[Checkout._make(row) for row in read("carrito", _CHECKOUTS)],
        orders=[Order._make(row) for row in read("carrito", _ORDERS)],
        money=[Money._make(row) for row in read("pagos", _MONEY)],
        stock=[Stock._make(row) for row in read("inventario", _STOCK)],
    )


def reader(*, databases: Mapping[str, str]) -> Read:
    """Reads each statement on a connection of its own. What it gives raises psycopg.Error."""

    def read(service: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases[service], connect_timeout=5) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    return read
