"""Slots and bookings as the API shows and receives them."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from contracts import bounds
from contracts.bounds import (
    Asked,
    Id,
    MoneyText,
    Name,
    Reason,
    SagaPattern,
    Time,
    WholeNumber,
    amount,
    words,
)
from contracts.outcomes import Failure
from contracts.states import SagaStatus
from coordination.owner_views import failure_of
from httpapi import pages
from reservas.models import MOST_PRICE, Booking, BookingStatus, Slot

LONGEST = timedelta(days=31)
Person = Annotated[str, Meta(max_length=150)]
"""A person's name; default: the caller."""


class NewSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A slot to be added."""

    name: Name
    price_per_hour: Decimal

    def __post_init__(self) -> None:
        bounds.require_money("price_per_hour", self.price_per_hour, most=MOST_PRICE)


class NewBooking(msgspec.Struct, frozen=True, kw_only=True):
    """A booking to be made. Times need a zone: `2026-12-01T10:00:00Z`. `auto_approve`: no manager
    is asked. `user_id`: default: the caller.
    """

    user_id: Id | WholeNumber | None = None
    slot_id: Id | WholeNumber
    starts_at: Time
    ends_at: Time
    auto_approve: bool = False
    saga: Id = "booking"
    saga_pattern: SagaPattern | None = None

    def __post_init__(self) -> None:
        for field, time in (("starts_at", self.starts_at), ("ends_at", self.ends_at)):
            if not bounds.EARLIEST_YEAR < time.year < bounds.LATEST_YEAR:
                raise ValueError(f"{field}: no year that can be booked")
        if not timedelta() < self.ends_at - self.starts_at <= LONGEST:
            raise ValueError(f"ends_at: after starts_at, by at most {LONGEST.days} days")


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A manager's yes or no. `reason`: of a no."""

    by: Person = ""
    reason: Reason = ""


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """The person who cancels a booking, and the reason."""

    by: Person = ""
    reason: Reason = ""


class BookingFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which bookings to list: `?user_id=&status=`, with the parameters of every page."""

    user_id: Asked | None = None
    status: BookingStatus | None = None


class SlotShown(TypedDict):
    id: str
    name: str
    price_per_hour: MoneyText
    created_at: Time


class SlotNamed(TypedDict):
    id: str
    name: str


class BookingState(TypedDict):
    """A booking, with its frozen price. `saga_status`: its saga's status."""

    booking_id: str
    saga_id: str
    saga: str
    saga_pattern: str
    user_id: str
    slot: SlotNamed
    starts_at: Time
    ends_at: Time
    price: MoneyText | None
    auto_approve: bool
    status: Annotated[str, words(BookingStatus)]
    saga_status: Annotated[str, words(SagaStatus)]
    approved_by: str | None
    approved_at: Time | None
    failure: Failure | None
    created_at: Time
    ended_at: Time | None


class BookingShown(BookingState):
    """The same, and the URL of its state."""

    status_url: str


class BookingBegun(TypedDict):
    """A booking that is accepted: its slot is held."""

    saga_id: str
    saga: str
    booking_id: str
    total_amount: MoneyText
    status: Annotated[str, words((SagaStatus.PENDING,))]
    saga_pattern: str
    status_url: str


def slot(row: Slot) -> SlotShown:
    return {
        "id": str(row.pk),
        "name": row.name,
        "price_per_hour": str(amount(row.price_per_hour)),
        "created_at": row.created_at,
    }


def booking(row: Booking) -> BookingState:
    """A booking, with its frozen price."""
    return {
        "booking_id": row.saga_id,
        "saga_id": row.saga_id,
        "saga": row.saga,
        "saga_pattern": row.saga_pattern,
        "user_id": row.user_id,
        "slot": {"id": str(row.slot_id), "name": row.slot.name},
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "price": None if row.total_amount is None else str(amount(row.total_amount)),
        "auto_approve": row.auto_approve,
        "status": row.booking_status,
        "saga_status": row.status,
        "approved_by": row.approved_by or None,
        "approved_at": row.approved_at,
        "failure": failure_of(row),
        "created_at": row.accepted_at,
        "ended_at": row.ended_at,
    }
