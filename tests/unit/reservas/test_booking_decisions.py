"""A booking's price, approval and end: the pure decisions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from catalogue import refusals
from contracts.outcomes import Failure
from contracts.saga import Command
from participant.operations import NO, OVERDUE, WITHDRAWN, YES, Verdict
from reservas.operations import is_approved_by_itself, price_of, refusal_of, status_of
from reservas.store import LockedBooking

TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)


def price(per_hour: str, minutes: float) -> str:
    ends_at = TEN + timedelta(minutes=minutes)
    return str(price_of(price_per_hour=Decimal(per_hour), starts_at=TEN, ends_at=ends_at))


@pytest.mark.parametrize(
    ("per_hour", "minutes", "expected"),
    [
        ("40.00", 60, "40.00"),
        ("40.00", 90, "60.00"),
        ("10.00", 20, "3.33"),
        ("0.01", 1, "0.00"),
        ("1000000.00", 31 * 24 * 60, "744000000.00"),
        ("0.00", 60, "0.00"),
    ],
)
def test_part_of_an_hour_costs_its_part(per_hour, minutes, expected):
    assert price(per_hour, minutes) == expected


def by_itself(below: str, *, auto_approve: bool = False, is_pending: bool = True) -> bool:
    booking = LockedBooking(
        price=Decimal("40.00"), auto_approve=auto_approve, is_pending=is_pending
    )
    return is_approved_by_itself(booking=booking, below=Decimal(below))


def test_booking_that_is_cheap_or_approved_in_advance_asks_no_manager():
    assert not by_itself("0")
    assert not by_itself("40.00")
    assert by_itself("40.01")
    assert by_itself("0", auto_approve=True)


def test_booking_that_has_ended_is_not_approved_by_itself():
    assert not by_itself("100", auto_approve=True, is_pending=False)


def refused(word: str, reason: str = "") -> tuple[str, str]:
    verdict = Verdict(
        step="approve_booking",
        command=Command(saga_id="s"),
        word=word,
        decided_by="manager",
        by="eva",
        reason=reason,
    )
    refusal = refusal_of(verdict=verdict)
    return refusal.code, refusal.detail


def test_refusal_has_the_reason_of_the_manager():
    assert refused(NO, "closed that day") == (refusals.REJECTED_BY_MANAGER, "closed that day")
    assert refused(NO) == (refusals.REJECTED_BY_MANAGER, "eva has rejected it.")
    assert refused(OVERDUE)[0] == refusals.APPROVAL_OVERDUE
    assert refused(WITHDRAWN)[0] == refusals.ABORTED
    assert refused(YES)[0] == refusals.NO_BOOKING


def test_booking_is_cancelled_after_a_stop_and_failed_otherwise():
    assert status_of(Failure("", refusals.STOPPED)) == "cancelled"
    assert status_of(Failure("pay_bill", refusals.INSUFFICIENT_FUNDS)) == "failed"
