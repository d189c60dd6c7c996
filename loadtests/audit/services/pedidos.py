"""pedidos: an order is what its saga is about, and completed if its last step was done."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, Source, cents_of, money
from loadtests.audit.generic import Effect


class Order(NamedTuple):
    """The accepted saga itself, as what its user is told of it."""

    saga_id: str
    status: str


SOURCES = [Source("pedidos", Order, "SELECT saga_id, order_status FROM pedidos_order")]

EFFECTS = [
    Effect(
        "completed order",
        "pedidos.complete",
        Direction.DO,
        # A return comes after it, and leaves the order cancelled.
        lambda saga, step: (
            any(one.status == "completed" for one in saga.of(Order))
            or bool(saga.is_returned and saga.done(step))
        ),
    )
]


_STATUSES = {
    "completed": ("completed",),
    "failed": ("failed", "cancelled"),
    "compensated": ("failed", "cancelled"),
}
"""What an order may be, by how its saga has ended; before that, pending."""


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: its total is the one that its saga's steps see, and its status what became of it."""
    accepted = saga.accepted
    if accepted is None or accepted.service != "pedidos":
        return
    agreed = cents_of(saga.data.get("total_amount"))
    if agreed is not None and accepted.total != agreed:
        yield 4, f"total {money(accepted.total)}, {money(agreed)} for its saga's steps"
    wanted = _STATUSES.get(accepted.status, ("pending",))
    for one in saga.of(Order):
        if one.status not in wanted:
            yield 4, f"{accepted.status}, but its order is {one.status}"


def sums() -> Iterator[tuple[int, str, str]]:
    yield from ()


def counted() -> Iterator[tuple[int, str]]:
    yield from ()
