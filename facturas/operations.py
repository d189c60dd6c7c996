"""The operations of facturas in a saga. Each locks, decides and writes for a whole list."""

from collections.abc import Sequence

from catalogue import refusals
from catalogue.commands import CreateBill, IssueInvoice
from contracts import bounds
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import Undo
from facturas import store
from facturas.models import BillStatus, InvoiceKind
from facturas.store import LockedBill, NewBill
from participant.operations import does, undoes
from participant.sql import Damaged

SERVICE = "facturas"


@does(service=SERVICE)
def create_bill(commands: Sequence[CreateBill]) -> list[Outcome]:
    """Makes open bills. Refused: invalid_amount."""
    wanted = {(command.saga_id, create_bill.step_of(command)): command for command in commands}
    refused = {key: no for key, command in wanted.items() if (no := refusal_of(command=command))}
    bills = [
        NewBill(
            saga_id=key[0],
            step=key[1],
            subject=command.subject,
            user_id=command.user_id,
            amount=command.amount,
        )
        for key, command in wanted.items()
        if key not in refused
    ]
    ids = store.add_bills(bills=bills)
    return [refused.get(key) or _billed(ids[key], command) for key, command in wanted.items()]


@undoes(create_bill)
def fail_bill(commands: Sequence[Undo]) -> list[Outcome]:
    """Fails the step's bill. A paid bill is credited instead: a credit note is issued, and its
    invoice stays.
    """
    reasons = {
        (command.saga_id, fail_bill.step_of(command)): command.reason for command in commands
    }
    locked = store.lock_bills_of(keys=reasons)
    after = {bill.id: status_after_undo(bill=bill) for bill in locked.values()}
    store.close_bills(
        statuses=after, reasons={bill.id: reasons[key] for key, bill in locked.items()}
    )
    credited = [bill for bill in locked.values() if bill.status is BillStatus.PAID]
    notes = store.issue(bills=credited, kind=InvoiceKind.CREDIT_NOTE)
    return [_undone(locked[key], after, notes) for key in reasons]


@does(service=SERVICE)
def issue_invoice(commands: Sequence[IssueInvoice]) -> list[Outcome]:
    """Marks the bill as paid, and issues its invoice. Refused, outside a saga only: no_bill. Raises
    Damaged if another amount than the bill's was paid: that can't be refused any more.
    """
    # No bill has the number 0.
    wanted = {command.saga_id: bounds.number_in(command.bill_id) or 0 for command in commands}
    locked = store.lock_bills(ids=set(wanted.values()))
    for command in commands:
        _require_paid(command, locked.get(wanted[command.saga_id]))
    paid = {
        bill.id: bill
        for saga_id, bill_id in wanted.items()
        if (bill := locked.get(bill_id)) and is_to_be_paid(bill=bill, saga_id=saga_id)
    }
    store.pay_bills(ids=paid)
    numbers = store.issue(bills=list(paid.values()), kind=InvoiceKind.INVOICE)
    return [_invoiced(wanted[command.saga_id], numbers) for command in commands]


def refusal_of(*, command: CreateBill) -> Refused | None:
    """The refusal if the amount can't be billed. A bill of 0 is allowed."""
    if bounds.is_money(command.amount, most=bounds.MOST_MONEY):
        return None
    detail = f"A bill is of 0 to {bounds.MOST_MONEY}, with two decimals; not {command.amount:.40}."
    return Refused(refusals.INVALID_AMOUNT, detail)


def status_after_undo(*, bill: LockedBill) -> BillStatus:
    """The status of a bill after its undo."""
    return BillStatus.CREDITED if bill.status is BillStatus.PAID else BillStatus.FAILED


def is_to_be_paid(*, bill: LockedBill, saga_id: str) -> bool:
    """Whether this saga's payment pays the bill."""
    return bill.status is BillStatus.OPEN and bill.key[0] == saga_id


def _require_paid(command: IssueInvoice, bill: LockedBill | None) -> None:
    if bill and bill.key[0] == command.saga_id and command.paid != bill.amount:
        what = f"{command.paid:.40} was paid, and {bill.amount} is due"
        raise Damaged(f"Bill {bill.id} of saga {command.saga_id}: {what}.")


def _billed(bill_id: int, command: CreateBill) -> Done:
    amount = str(bounds.amount(command.amount))
    return Done({"bill_id": str(bill_id), "amount": amount, "status": BillStatus.OPEN.value})


def _undone(bill: LockedBill, after: dict[int, BillStatus], notes: dict[int, str]) -> Done:
    data = {"bill_id": str(bill.id), "status": after[bill.id].value}
    note = notes.get(bill.id)
    return Done({**data, "credit_note": note} if note else data)


def _invoiced(bill_id: int, numbers: dict[int, str]) -> Outcome:
    number = numbers.get(bill_id)
    if number is None:
        return Refused(refusals.NO_BILL, "This saga has no open bill.")
    data = {"invoice_number": number, "bill_id": str(bill_id), "status": BillStatus.PAID.value}
    return Done(data)
