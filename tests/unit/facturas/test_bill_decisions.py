"""The statuses of a bill: the pure decisions."""

from decimal import Decimal

import pytest

from catalogue import refusals
from catalogue.commands import CreateBill
from facturas.models import BillStatus
from facturas.operations import is_to_be_paid, refusal_of, status_after_undo
from facturas.store import LockedBill


def bill(status: BillStatus) -> LockedBill:
    return LockedBill(id=1, key=("s", "create_bill"), amount=Decimal("40.00"), status=status)


@pytest.mark.parametrize(
    ("status", "after"),
    [(BillStatus.OPEN, BillStatus.FAILED), (BillStatus.PAID, BillStatus.CREDITED)],
)
def test_withdrawn_bill_has_failed_or_is_credited_if_it_was_paid(status, after):
    assert status_after_undo(bill=bill(status)) is after


def test_only_an_open_bill_of_the_same_saga_is_paid():
    assert is_to_be_paid(bill=bill(BillStatus.OPEN), saga_id="s")
    assert not is_to_be_paid(bill=bill(BillStatus.OPEN), saga_id="other")
    for status in (BillStatus.PAID, BillStatus.FAILED, BillStatus.CREDITED):
        assert not is_to_be_paid(bill=bill(status), saga_id="s")


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("40.00", None),
        ("0.00", None),
        ("-0.01", refusals.INVALID_AMOUNT),
        ("0.001", refusals.INVALID_AMOUNT),
        ("1000000000000.00", refusals.INVALID_AMOUNT),
        ("NaN", refusals.INVALID_AMOUNT),
    ],
)
def test_only_money_is_billed(amount, code):
    command = CreateBill(saga_id="s", subject="b", user_id="ana", amount=Decimal(amount))
    refusal = refusal_of(command=command)
    assert (refusal.code if refusal else None) == code
