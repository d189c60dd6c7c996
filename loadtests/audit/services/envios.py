"""envios: a courier's load is the number of open deliveries, within the capacity."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource
from loadtests.audit.generic import effects_of, once_a_step
from loadtests.audit.reading import rows


class DeliveryRow(NamedTuple):
    """A courier's delivery for a step."""

    saga_id: str
    step: str
    status: str


SOURCES = [RowSource("envios", DeliveryRow, "SELECT saga_id, step, status FROM envios_delivery")]

_COURIERS = """
    WITH open AS (
        SELECT courier_id, count(*) FROM envios_delivery
        WHERE status IN ('scheduled', 'in_transit') GROUP BY courier_id
    )
    SELECT id, name, capacity, busy, coalesce(open.count, 0)
    FROM envios_courier AS courier LEFT JOIN open ON courier_id = id
    WHERE busy <> coalesce(open.count, 0) OR busy NOT BETWEEN 0 AND capacity
    ORDER BY id
"""

EFFECTS = effects_of(
    DeliveryRow,
    {
        ("delivery", "envios.schedule", Direction.DO): lambda row, step: row.step == step,
        ("cancelled delivery", "envios.schedule", Direction.UNDO): lambda row, step: (
            row.step == step and row.status == "cancelled"
        ),
    },
)
COUNTED = [(1, "SELECT count(*) FROM envios_courier", "couriers: {}")]


def breaches(saga: Evidence) -> Iterator[Finding]:
    """6: one delivery a step."""
    yield from once_a_step(saga, DeliveryRow, "deliveries")


def sums() -> Iterator[tuple[int, str, str]]:
    """1: a courier's load is the number of open deliveries, within the capacity."""
    for courier_id, name, capacity, busy, held in rows(service="envios", statement=_COURIERS):
        what = f"courier {courier_id} ({name}) is busy with {busy} of {capacity}, and has {held}"
        yield 1, "", f"{what} open deliveries"


def delivered(saga: Evidence) -> Iterator[Finding]:
    """4: an ended saga has a delivery if it completed, else none."""
    there = any(delivery.status != "cancelled" for delivery in saga.of(DeliveryRow))
    if there and not saga.is_completed:
        yield 4, f"{saga.status}, but a delivery of it is there"
    elif saga.is_completed and not there:
        yield 4, "completed, but no delivery of it is there"
