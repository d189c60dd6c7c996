"""Bills, invoices and credit notes: their rows, and numbers without gaps."""

from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.db import transaction

from catalogue import refusals
from catalogue.commands import CreateBill, IssueInvoice
from contracts.outcomes import NOTHING_TO_UNDO, Done
from contracts.saga import Undo
from facturas import operations
from facturas.models import Bill, Invoice, InvoiceCounter
from participant import sql
from participant.executing import execute
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["facturas"])

BY_SAGA = {"saga": "booking"}


def billing(saga_id: str, amount: str = "40.00") -> CreateBill:
    step = {"saga_id": saga_id, "step": "create_bill", **BY_SAGA}
    return CreateBill(**step, subject=saga_id, user_id="ana", amount=Decimal(amount))


def bill(saga_id: str, amount: str = "40.00"):
    command = billing(saga_id, amount)
    return execute(operation=operations.create_bill, commands=[command])[0].outcome


def invoicing(saga_id: str, bill_id: str, paid: str = "40.00") -> IssueInvoice:
    step = {"saga_id": saga_id, "step": "issue_invoice", **BY_SAGA}
    return IssueInvoice(**step, bill_id=bill_id, paid=Decimal(paid))


def pay(saga_id: str, bill_id: str):
    command = invoicing(saga_id, bill_id)
    return execute(operation=operations.issue_invoice, commands=[command])[0].outcome


def fail(saga_id: str):
    command = Undo(saga_id=saga_id, step="create_bill", reason=refusals.STOPPED, **BY_SAGA)
    return execute(operation=operations.fail_bill, commands=[command])[0].outcome


def paid(saga_id: str):
    return pay(saga_id, bill(saga_id).data["bill_id"])


def numbers() -> list[int]:
    """This year's numbers without the year, after checking that their times are in order."""
    found = list(Invoice.objects.order_by("number"))
    assert [issued.issued_at for issued in found] == sorted(issued.issued_at for issued in found)
    assert {int(issued.number[:4]) for issued in found} <= {
        issued.issued_at.year for issued in found
    }
    return [int(issued.number.partition("-")[2]) for issued in found]


def test_bill_of_which_something_else_was_paid_is_left_to_a_person():
    bill_id = bill("s").data["bill_id"]
    short = invoicing("s", bill_id, paid="0.01")
    with pytest.raises(sql.Damaged, match=r"0\.01 was paid, and 40\.00 is due"):
        execute(operation=operations.issue_invoice, commands=[short])
    assert Bill.objects.get().status == "open"
    assert isinstance(pay("s", bill_id), Done)


def test_bill_is_open_and_states_its_amount():
    outcome = bill("s", "40.5")
    assert outcome.data["amount"] == "40.50"
    assert Bill.objects.get().status == "open"


def test_amount_that_is_none_is_refused():
    assert bill("s", "-1").code == refusals.INVALID_AMOUNT
    assert not Bill.objects.exists()


def test_paid_bill_has_an_invoice_with_the_years_next_number():
    first, second = paid("s"), paid("t")
    year = Invoice.objects.first().issued_at.year
    assert first.data["invoice_number"] == f"{year}-000001"
    assert second.data["invoice_number"] == f"{year}-000002"
    assert set(Bill.objects.values_list("status", flat=True)) == {"paid"}


def test_number_after_a_million_has_all_of_its_digits():
    paid("s")
    InvoiceCounter.objects.update(last=1_234_566)
    assert paid("t").data["invoice_number"].endswith("-1234567")


@pytest.mark.parametrize("named", ["0", "x", "9" * 30])
def test_invoice_of_no_bill_is_refused(named):
    assert pay("s", named).code == refusals.NO_BILL
    assert not InvoiceCounter.objects.exists()


def test_bill_of_another_saga_is_not_paid():
    bill_id = bill("s").data["bill_id"]
    assert pay("t", bill_id).code == refusals.NO_BILL
    assert Bill.objects.get().status == "open"


def test_open_bill_that_is_undone_has_failed_and_has_no_paper():
    bill("s")
    assert fail("s").data["status"] == "failed"
    assert (Bill.objects.get().failed_because, Invoice.objects.count()) == ("stopped", 0)
    assert fail("never") == NOTHING_TO_UNDO


def test_paid_bill_that_is_given_back_is_credited_and_its_invoice_stays():
    paid("s")
    outcome = fail("s")
    assert outcome.data["status"] == "credited"
    assert outcome.data["credit_note"].endswith("-000002"), "both kinds have one sequence"
    kinds = dict(Invoice.objects.values_list("kind", "amount"))
    assert kinds == {"invoice": Decimal("40.00"), "credit_note": Decimal("40.00")}
    assert fail("s") == outcome, "once"
    assert Invoice.objects.count() == 2


def test_hundred_invoices_and_credit_notes_at_once_have_numbers_without_gaps():
    bills = {f"s{n}": bill(f"s{n}").data["bill_id"] for n in range(80)}
    for n in range(20):
        pay(f"s{n}", bills[f"s{n}"])
    calls = [lambda n=n: fail(f"s{n}") for n in range(20)]
    calls += [lambda n=n: pay(f"s{n}", bills[f"s{n}"]) for n in range(20, 80)]
    assert all(isinstance(result, Done) for result in at_once(calls, service="facturas"))
    assert numbers() == list(range(1, 101))


def test_lists_that_come_at_once_share_the_numbers():
    bills = {f"s{n}": bill(f"s{n}").data["bill_id"] for n in range(60)}
    every = list(bills.items())
    lists = [every[n : n + 6] for n in range(0, 60, 6)]
    calls = [
        lambda part=part: execute(
            operation=operations.issue_invoice,
            commands=[invoicing(*arguments) for arguments in part],
        )
        for part in lists
    ]
    at_once(calls, service="facturas")
    assert numbers() == list(range(1, 61))


@contextmanager
def rolled_back():
    with transaction.atomic(using="facturas"):
        yield
        transaction.set_rollback(True, using="facturas")


def test_invoice_that_is_rolled_back_leaves_no_gap():
    bill_id = bill("s").data["bill_id"]
    with rolled_back():
        pay("s", bill_id)
    assert (Bill.objects.get().status, numbers()) == ("open", [])
    pay("s", bill_id)
    assert numbers() == [1]


def test_sequence_of_the_database_would_leave_a_gap():
    """The control: a sequence, which a rollback does not reset."""
    sql.execute(service="facturas", sql="CREATE SEQUENCE number")
    try:
        with rolled_back():
            sql.execute(service="facturas", sql="SELECT nextval('number')")
        assert sql.execute(service="facturas", sql="SELECT nextval('number')") == [(2,)]
    finally:
        sql.execute(service="facturas", sql="DROP SEQUENCE number")
