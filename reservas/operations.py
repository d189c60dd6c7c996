"""The operations of reservas in a saga. Each decides and writes for a whole list."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from catalogue import refusals
from catalogue.commands import Conclude
from contracts import bounds
from contracts.bounds import IdRead
from contracts.outcomes import Done, Failure, Outcome, Refused, Waiting
from contracts.saga import Command, Undo
from coordination import acceptance
from coordination.acceptance import Accepted, Owner
from coordination.store import status_after
from participant.operations import NO, OVERDUE, YES, Verdict, asks, does, undoes
from reservas import store
from reservas.models import Booking, BookingStatus
from reservas.store import LockedBooking, PricedBooking

SERVICE = "reservas"
HOUR = timedelta(hours=1)
BY_ITSELF = "auto_approve"
"""`approved_by` of a booking that needs no manager."""


class Accept(acceptance.Accept, frozen=True, kw_only=True):
    """Book this slot. `auto_approve`: no manager is asked."""

    user_id: IdRead
    slot_id: int
    starts_at: datetime
    ends_at: datetime
    auto_approve: bool = False


@does(service=SERVICE, command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Holds the slots and freezes the prices. The table's constraint decides which booking gets a
    slot.

    Done with `repeats`, another saga's id: the user's key belongs to that saga already.
    Refused: unknown_slot, slot_taken, idempotency_key_reused, too_many_under_way.
    """
    users = {command.saga_id: command.user_id for command in commands}
    among = acceptance.sort_out(owner=OWNER, commands=commands, users=users)
    prices = store.prices(slot_ids={command.slot_id for command in among.fresh})
    bookings = {
        command.saga_id: _booking(command, prices[command.slot_id])
        for command in among.fresh
        if command.slot_id in prices
    }
    held = store.add_bookings(bookings=list(bookings.values()))
    decided = {
        command.saga_id: _accepted(command, bookings.get(command.saga_id), held)
        for command in among.fresh
    }
    return acceptance.answered(owner=OWNER, commands=commands, among=among, decided=decided)


@undoes(accept)
def fail_booking(commands: Sequence[Undo]) -> list[Outcome]:
    """Ends the booking without success, and frees its slot: failed, or cancelled if a person
    stopped or returned it.
    """
    failures = {
        command.saga_id: command.failure or Failure("", refusals.STOPPED) for command in commands
    }
    statuses = {saga_id: status_of(failure) for saga_id, failure in failures.items()}
    store.end_bookings(failures=failures, statuses=statuses)
    return [
        Done(
            {
                "status": status_after(failures[command.saga_id]).value,
                "booking_status": statuses[command.saga_id].value,
            }
        )
        for command in commands
    ]


OWNER = Owner(model=Booking, accept=accept, fail=fail_booking)


def _decided(verdicts: Sequence[Verdict]) -> list[Outcome]:
    """Approves the bookings to which a manager said yes; another verdict writes nothing."""
    yes = {verdict.command.saga_id: verdict.by for verdict in verdicts if verdict.word == YES}
    approved = _approved(yes)
    return [
        approved.get(verdict.command.saga_id) or refusal_of(verdict=verdict) for verdict in verdicts
    ]


@does(service=SERVICE, decide=_decided)
def approve(commands: Sequence[Command]) -> list[Outcome]:
    """Waits for the manager, unless the booking has `auto_approve` or costs little: then approves
    it.

    Refused: rejected_by_manager, approval_overdue, no_booking (a person has ended it).
    """
    locked = store.lock_bookings(saga_ids={command.saga_id for command in commands})
    by_itself = {
        saga_id: BY_ITSELF
        for saga_id, booking in locked.items()
        if is_approved_by_itself(booking=booking, below=settings.AUTO_APPROVE_BELOW)
    }
    approved = _approved(by_itself)
    return [
        approved.get(command.saga_id) or _asked(command, locked.get(command.saga_id))
        for command in commands
    ]


@undoes(approve)
def withdraw(commands: Sequence[Undo]) -> list[Outcome]:
    """Withdraws the approval."""
    store.withdraw_approvals(saga_ids={command.saga_id for command in commands})
    return [Done({"approval": "withdrawn"}) for _ in commands]


@does(service=SERVICE)
def reserve(commands: Sequence[Conclude]) -> list[Outcome]:
    """Reserves the booking. Refused: no_booking (a person has ended it)."""
    reserved = store.reserve_bookings(saga_ids={command.saga_id for command in commands})
    return [
        Done({"booking_id": command.saga_id, "reserved_at": reserved[command.saga_id].isoformat()})
        if command.saga_id in reserved
        else Refused(refusals.NO_BOOKING, "This saga has no approved booking.")
        for command in commands
    ]


def price_of(*, price_per_hour: Decimal, starts_at: datetime, ends_at: datetime) -> Decimal:
    """The price of the time, to the cent; part of an hour costs its share."""
    microseconds = (ends_at - starts_at) // timedelta(microseconds=1)
    return bounds.amount(price_per_hour * microseconds / (HOUR // timedelta(microseconds=1)))


def is_approved_by_itself(*, booking: LockedBooking, below: Decimal) -> bool:
    """Whether no manager is asked: it has `auto_approve`, or costs less than `below`."""
    return booking.is_pending and (booking.auto_approve or booking.price < below)


def refusal_of(*, verdict: Verdict) -> Refused:
    """Why a booking is not approved."""
    if verdict.word == NO:
        detail = verdict.reason or f"{verdict.by} has rejected it."
        return Refused(refusals.REJECTED_BY_MANAGER, detail)
    if verdict.word == OVERDUE:
        return Refused(refusals.APPROVAL_OVERDUE, "No manager has decided in time.")
    if verdict.word == YES:
        return _NO_BOOKING
    return Refused(refusals.ABORTED)


def status_of(failure: Failure) -> BookingStatus:
    """The status shown to the user of a booking that ended so."""
    return BookingStatus.CANCELLED if failure.code == refusals.STOPPED else BookingStatus.FAILED


_NO_BOOKING = Refused(refusals.NO_BOOKING, "This saga has no pending booking.")


def _asked(command: Command, booking: LockedBooking | None) -> Waiting | Refused:
    return (
        asks(command=command, operation=approve) if booking and booking.is_pending else _NO_BOOKING
    )


def _approved(by: Mapping[str, str]) -> dict[str, Outcome]:
    """Approves the pending bookings; returns their outcomes by saga id. `by`: the approvers."""
    locked = store.lock_bookings(saga_ids=by) if by else {}
    pending = {saga_id: by[saga_id] for saga_id, booking in locked.items() if booking.is_pending}
    store.approve_bookings(by=pending)
    return {
        saga_id: Done({"booking_id": saga_id, "approved_by": name})
        for saga_id, name in pending.items()
    }


def _accepted(command: Accept, booking: PricedBooking | None, held: set[str]) -> Outcome:
    if booking is None:
        return Refused(refusals.UNKNOWN_SLOT, f"There is no slot {command.slot_id}.")
    if command.saga_id not in held:
        detail = f"Slot {command.slot_id} is taken for some of this time."
        return Refused(refusals.SLOT_TAKEN, detail)
    return Accepted(
        {"booking_id": command.saga_id, "total_amount": str(booking.price)}, context=booking.context
    )


def _booking(command: Accept, price_per_hour: Decimal) -> PricedBooking:
    price = price_of(
        price_per_hour=price_per_hour, starts_at=command.starts_at, ends_at=command.ends_at
    )
    return PricedBooking(
        context=acceptance.context_of(
            command=command,
            subject=command.saga_id,
            user_id=command.user_id,
            known={"total_amount": price},
        ),
        user_id=command.user_id,
        slot_id=command.slot_id,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        price=price,
        auto_approve=command.auto_approve,
    )
