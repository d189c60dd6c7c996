"""reservas: a slot has one booking at a time, and a booking has the outcome of its saga."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource
from loadtests.audit.generic import Effect, effects_of, ended_as, owned_by
from loadtests.audit.reading import rows


class BookingRow(NamedTuple):
    """The accepted saga, with the booking status that its user sees."""

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
# Each booking with the latest end of all earlier ones of its slot, by a window instead of a join.
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
    Effect("reserved booking", "reservas.reserve", Direction.DO, ended_as(BookingRow, "reserved")),
]
COUNTED = [(1, _COUNTED, "slots: {}, bookings that hold a slot: {}")]
_STATUSES = {
    "completed": ("reserved",),
    "failed": ("failed", "cancelled"),
    "compensated": ("failed", "cancelled"),
    "": ("pending", "approved"),
}
"""The statuses of a booking by that of its saga."""


def breaches(saga: Evidence) -> Iterator[Finding]:
    """4: a booking has the price and the outcome of its saga."""
    return owned_by("reservas", saga, BookingRow, "booking", _STATUSES)


def sums() -> Iterator[tuple[int, str, str]]:
    """1: a slot has at most one booking at a time."""
    for saga_id, slot, other in rows(service="reservas", statement=_TAKEN_TWICE):
        yield 1, saga_id, f"{slot} is taken by another booking at its time, by {other} or before it"
