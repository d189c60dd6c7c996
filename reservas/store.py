"""What reservas stores, and all its SQL: set-based, one statement for a whole batch.

Order of locks: idempotency keys, then slots' times by slot and start, or bookings by saga id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from contracts.outcomes import Failure
from contracts.saga import Context
from coordination.store import SETTLED, ended_columns, ended_row, row_of, tell_ended
from participant import sql
from participant.models import owned_by
from reservas.models import Booking, BookingStatus, Decision, Slot

_execute = sql.of("reservas")


@dataclass(frozen=True, kw_only=True)
class PricedBooking:
    """A booking to be recorded, with its price. `context`: as its saga's steps see it."""

    context: Context
    user_id: str
    slot_id: int
    starts_at: datetime
    ends_at: datetime
    price: Decimal
    auto_approve: bool


@dataclass(frozen=True, kw_only=True)
class LockedBooking:
    """A booking whose row is locked."""

    price: Decimal
    auto_approve: bool
    is_pending: bool


def prices(*, slot_ids: Collection[int]) -> dict[int, Decimal]:
    """The current prices per hour by slot id; unknown slots are missing."""
    return dict(
        _execute(
            "SELECT id, price_per_hour FROM reservas_slot WHERE id = ANY(%s)", [list(slot_ids)]
        )
    )


def add_bookings(*, bookings: Sequence[PricedBooking]) -> set[str]:
    """Records the bookings, pending; returns the saga ids of those whose slot was free.

    The exclusion constraint decides, and waits for a booking that another session is recording.
    In the order of slot and start, so that two lists can't deadlock: for two pairs of overlapping
    times to be met in opposite orders, a time would have to start after its end.
    """
    if not bookings:
        return set()
    rows = _execute(
        """
        INSERT INTO reservas_booking
               (saga_id, saga, saga_pattern, context, user_id, slot_id, starts_at, ends_at,
                total_amount, auto_approve, booking_status, status, failure_step, failure_code,
                failure_detail, accepted_at)
        SELECT saga_id, saga, saga_pattern, context, user_id, slot_id, starts_at, ends_at,
               price, auto_approve, 'pending', CASE WHEN runs THEN 'running' ELSE 'pending' END,
               '', '', '', clock_timestamp()
        FROM json_to_recordset(%s)
             AS v (saga_id text, saga text, saga_pattern text, context jsonb, user_id text,
                   slot_id bigint, starts_at timestamptz, ends_at timestamptz, price numeric,
                   auto_approve boolean, runs boolean)
        ORDER BY slot_id, starts_at, saga_id
        ON CONFLICT DO NOTHING
        RETURNING saga_id
        """,
        [
            sql.rows(
                {
                    **row_of(booking.context),
                    "user_id": booking.user_id,
                    "slot_id": booking.slot_id,
                    "starts_at": booking.starts_at,
                    "ends_at": booking.ends_at,
                    "price": booking.price,
                    "auto_approve": booking.auto_approve,
                }
                for booking in bookings
            )
        ],
    )
    return {row[0] for row in rows}


def lock_bookings(*, saga_ids: Collection[str]) -> dict[str, LockedBooking]:
    """Locks the bookings of these sagas."""
    rows = _execute(
        """
        SELECT saga_id, total_amount, auto_approve, booking_status = 'pending'
        FROM reservas_booking WHERE saga_id = ANY(%s)
        ORDER BY saga_id FOR NO KEY UPDATE
        """,
        [list(saga_ids)],
    )
    return {
        row[0]: LockedBooking(price=row[1], auto_approve=row[2], is_pending=row[3]) for row in rows
    }


def approve_bookings(*, by: Mapping[str, str]) -> None:
    """Approves locked bookings. `by`: their approvers, by saga id."""
    if by:
        _execute(
            """
            UPDATE reservas_booking AS booking
            SET booking_status = 'approved', approved_by = v.by, approved_at = clock_timestamp()
            FROM json_to_recordset(%s) AS v (saga_id text, by text)
            WHERE booking.saga_id = v.saga_id
            """,
            [sql.rows({"saga_id": saga_id, "by": name} for saga_id, name in by.items())],
        )


def withdraw_approvals(*, saga_ids: Collection[str]) -> None:
    """Withdraws approvals; an approved booking is pending again until it ends."""
    _execute(
        """
        UPDATE reservas_booking
        SET withdrawn_at = clock_timestamp(),
            booking_status = CASE booking_status WHEN 'approved' THEN 'pending'
                                                 ELSE booking_status END
        WHERE saga_id IN (SELECT saga_id FROM reservas_booking WHERE saga_id = ANY(%s)
                          ORDER BY saga_id FOR NO KEY UPDATE)
        """,
        [list(saga_ids)],
    )


def reserve_bookings(*, saga_ids: Collection[str]) -> dict[str, datetime]:
    """Reserves approved bookings; returns the time of each, by saga id."""
    rows = _execute(
        f"""
        UPDATE reservas_booking
        SET booking_status = 'reserved', status = 'completed', ended_at = clock_timestamp(),
            {SETTLED}
        WHERE booking_status = 'approved'
          AND saga_id IN (SELECT saga_id FROM reservas_booking WHERE saga_id = ANY(%s)
                          ORDER BY saga_id FOR NO KEY UPDATE)
        RETURNING ended_at, {ended_columns("reservas_booking")}
        """,
        [list(saga_ids)],
    )
    tell_ended(service="reservas", ended=[row[1:] for row in rows])
    return {row[1]: row[0] for row in rows}


def end_bookings(*, failures: Mapping[str, Failure], statuses: Mapping[str, BookingStatus]) -> None:
    """Ends the bookings without success, also reserved bookings (a return), which frees their
    slots.
    """
    ended = _execute(
        f"""
        UPDATE reservas_booking AS booking
        SET booking_status = v.booking_status, status = v.status, failure_step = v.step,
            failure_code = v.code, failure_detail = v.detail, ended_at = clock_timestamp(),
            {SETTLED}
        FROM json_to_recordset(%s)
             AS v (saga_id text, booking_status text, status text, step text, code text,
                   detail text)
        WHERE booking.saga_id = v.saga_id
        RETURNING {ended_columns("booking")}
        """,
        [
            sql.rows(
                {**ended_row(saga_id, failure), "booking_status": statuses[saga_id].value}
                for saga_id, failure in failures.items()
            )
        ],
    )
    tell_ended(service="reservas", ended=ended)


# Queries.


def slots() -> QuerySet[Slot]:
    """All slots, by id."""
    return Slot.objects.order_by("id")


def booking(*, booking_id: str, user_id: str | None = None) -> Booking | None:
    """The booking with this id, and its slot. `user_id`: whose it must be."""
    return bookings().filter(owned_by(user_id), pk=booking_id).first()


def bookings(*, user_id: str = "", status: str = "") -> QuerySet[Booking]:
    """The bookings (of a user, of a status) with their slots, newest first."""
    found = Booking.objects.select_related("slot").order_by("-accepted_at", "-saga_id")
    if user_id:
        found = found.filter(user_id=user_id)
    return found.filter(booking_status=status) if status else found


def is_asked(*, booking_id: str) -> bool:
    """Whether a manager was asked about this booking, and has decided or not."""
    return _asked().filter(saga_id=booking_id).exists()


def asked_or_over(booking_ids: Sequence[str]) -> set[str]:
    """The bookings whose manager was asked, or will not be asked any more."""
    asked = _asked().filter(saga_id__in=booking_ids)
    over = Booking.objects.filter(pk__in=booking_ids).exclude(
        booking_status=BookingStatus.PENDING, withdrawn_at=None
    )
    return {*asked.values_list("saga_id", flat=True), *over.values_list("pk", flat=True)}


def _asked() -> QuerySet[Decision]:
    return Decision.objects.filter(action="approve")
