"""pedidos: an order is its saga; it is confirmed, and ended, if the steps for that were done."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, cents_of, money
from loadtests.audit.generic import Effect, effects_of


class OrderRow(NamedTuple):
    """The accepted saga itself, as what its user is told of it."""

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


def _ended_as(status: str) -> Callable[[Evidence, str], bool]:
    """By a saga's last step. A return comes after it, and leaves the order cancelled."""
    return lambda saga, step: (
        any(order.status == status for order in saga.of(OrderRow))
        or bool(saga.is_returned and saga.done(step))
    )


EFFECTS = [
    Effect("completed order", "pedidos.complete", Direction.DO, _ended_as("completed")),
    Effect("dispatched order", "pedidos.dispatch", Direction.DO, _ended_as("dispatched")),
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
}
"""What an order may be, by how its saga has ended; which of them, its last step's effect tells."""
_OPEN = ("pending", "confirmed")


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: its total is the one that its saga's steps see, and its status what became of it."""
    accepted = saga.accepted
    if accepted is None or accepted.service != "pedidos":
        return
    agreed = cents_of(saga.data.get("total_amount"))
    if agreed is not None and accepted.total != agreed:
        yield 4, f"total {money(accepted.total)}, {money(agreed)} for its saga's steps"
    wanted = _STATUSES.get(accepted.status, _OPEN)
    for order in saga.of(OrderRow):
        if order.status not in wanted:
            yield 4, f"{accepted.status}, but its order is {order.status}"


def sums() -> Iterator[tuple[int, str, str]]:
    yield from ()
