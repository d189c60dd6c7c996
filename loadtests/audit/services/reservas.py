"""reservas: a slot has one booking at a time, and a booking is what became of its saga."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, cents_of, money
from loadtests.audit.generic import Effect, effects_of
from loadtests.audit.reading import rows


class BookingRow(NamedTuple):
    """The accepted saga itself, as what its user is told of it."""

    saga_id: str
    status: str
    is_approved: bool
    is_withdrawn: bool


SOURCES = [
    RowSource(
        "reservas",
        BookingRow,
        """
        SELECT saga_id, booking_status, approved_at IS NOT NULL, withdrawn_at IS NOT NULL
        FROM reservas_booking
        """,
    )
]
# Beside each booking those that hold the slot before it, up to the latest end of them: no join.
_TAKEN_TWICE = """
    SELECT saga_id, name, other FROM (
        SELECT saga_id, slot_id, starts_at,
               max(ends_at) OVER earlier AS taken_until, max(saga_id) OVER earlier AS other
        FROM reservas_booking WHERE booking_status IN ('pending', 'approved', 'reserved')
        WINDOW earlier AS (PARTITION BY slot_id ORDER BY starts_at, saga_id
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS held JOIN reservas_slot AS slot ON slot.id = slot_id
    WHERE starts_at < taken_until ORDER BY saga_id
"""
_COUNTED = """
    SELECT (SELECT count(*) FROM reservas_slot),
           count(*) FILTER (WHERE booking_status IN ('pending', 'approved', 'reserved'))
    FROM reservas_booking
"""

EFFECTS = [
    *effects_of(
        BookingRow,
        {
            ("approval", "reservas.approve", Direction.DO): lambda row, step: row.is_approved,
            ("withdrawn approval", "reservas.approve", Direction.UNDO): lambda row, step: (
                row.is_withdrawn
            ),
        },
    ),
    Effect(
        "reserved booking",
        "reservas.reserve",
        Direction.DO,
        # A return comes after it, and leaves the booking cancelled.
        lambda saga, step: (
            any(booking.status == "reserved" for booking in saga.of(BookingRow))
            or bool(saga.is_returned and saga.done(step))
        ),
    ),
]
COUNTED = [(1, _COUNTED, "{} slots, {} bookings that hold one")]
_STATUSES = {
    "completed": ("reserved",),
    "failed": ("failed", "cancelled"),
    "compensated": ("failed", "cancelled"),
}
"""What a booking may be, by how its saga has ended."""


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: its price is the one that its saga's steps see, and its status what became of it."""
    accepted = saga.accepted
    if accepted is None or accepted.service != "reservas":
        return
    agreed = cents_of(saga.data.get("total_amount"))
    if agreed is not None and accepted.total != agreed:
        yield 4, f"price {money(accepted.total)}, {money(agreed)} for its saga's steps"
    wanted = _STATUSES.get(accepted.status, ("pending", "approved"))
    for booking in saga.of(BookingRow):
        if booking.status not in wanted:
            yield 4, f"{accepted.status}, but its booking is {booking.status}"


def sums() -> Iterator[tuple[int, str, str]]:
    """1: at any time one booking has a slot."""
    for saga_id, slot, other in rows(service="reservas", statement=_TAKEN_TWICE):
        yield 1, saga_id, f"{slot} is taken by another booking at its time, by {other} or before it"
