"""pedidos: an order is its accepted saga; it is confirmed and ended by the steps for that."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource
from loadtests.audit.generic import Effect, effects_of, ended_as, owned_by


class OrderRow(NamedTuple):
    """The accepted saga, with the order status that its user sees."""

    saga_id: str
    status: str
    is_confirmed: bool
    is_unconfirmed: bool


SOURCES = [
    RowSource(
        "pedidos",
        OrderRow,
        """
        SELECT saga_id, order_status, confirmed_at IS NOT NULL, unconfirmed_at IS NOT NULL
        FROM pedidos_order
        """,
    )
]


EFFECTS = [
    Effect("completed order", "pedidos.complete", Direction.DO, ended_as(OrderRow, "completed")),
    Effect("dispatched order", "pedidos.dispatch", Direction.DO, ended_as(OrderRow, "dispatched")),
    *effects_of(
        OrderRow,
        {
            ("confirmed order", "pedidos.confirm", Direction.DO): lambda row, _: row.is_confirmed,
            (
                "order that is confirmed no longer",
                "pedidos.confirm",
                Direction.UNDO,
            ): lambda row, _: row.is_unconfirmed,
        },
    ),
]
COUNTED = ()
_STATUSES = {
    "completed": ("completed", "dispatched"),
    "failed": ("failed", "cancelled"),
    "compensated": ("failed", "cancelled"),
    "": ("pending", "confirmed"),
}
"""The statuses of an order by that of its saga; the effect of the last step tells which one."""


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: an order has the total and the outcome of its saga."""
    return owned_by("pedidos", saga, OrderRow, "order", _STATUSES)


def sums() -> Iterator[tuple[int, str, str]]:
    yield from ()
