"""Bills and invoices as the API shows them."""

from typing import Annotated, TypedDict

from contracts.bounds import Asked, MoneyText, Time, amount, words
from facturas.models import Bill, BillStatus, Invoice, InvoiceKind
from httpapi import pages


class BillFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which bills to list: `?booking_id=&user_id=&status=`, with the parameters of every page."""

    booking_id: Asked | None = None
    user_id: Asked | None = None
    status: BillStatus | None = None


class InvoiceFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which invoices to list: `?booking_id=&user_id=&kind=`, with the parameters of every page."""

    booking_id: Asked | None = None
    user_id: Asked | None = None
    kind: InvoiceKind | None = None


class BillShown(TypedDict):
    """A bill, with the numbers of its invoice and of its credit note."""

    id: str
    saga_id: str
    step: str
    subject: str
    booking_id: str
    user_id: str
    amount: MoneyText
    status: Annotated[str, words(BillStatus)]
    failed_because: str | None
    invoice: str | None
    credit_note: str | None
    created_at: Time
    paid_at: Time | None
    closed_at: Time | None


class InvoiceShown(TypedDict):
    """An invoice or a credit note, with its user."""

    number: str
    kind: Annotated[str, words(InvoiceKind)]
    bill_id: str
    saga_id: str
    booking_id: str
    user_id: str
    amount: MoneyText
    issued_at: Time


def bill(row: Bill) -> BillShown:
    """A bill, with the numbers of its invoice and of its credit note."""
    numbers = {invoice.kind: invoice.number for invoice in row.invoices.all()}
    return {
        "id": str(row.pk),
        "saga_id": row.saga_id,
        "step": row.step,
        "subject": row.subject,
        "booking_id": row.subject,
        "user_id": row.user_id,
        "amount": str(amount(row.amount)),
        "status": row.status,
        "failed_because": row.failed_because or None,
        "invoice": numbers.get(InvoiceKind.INVOICE),
        "credit_note": numbers.get(InvoiceKind.CREDIT_NOTE),
        "created_at": row.created_at,
        "paid_at": row.paid_at,
        "closed_at": row.closed_at,
    }


def invoice(row: Invoice) -> InvoiceShown:
    """An invoice or a credit note, with its user."""
    return {
        "number": row.number,
        "kind": row.kind,
        "bill_id": str(row.bill_id),
        "saga_id": row.bill.saga_id,
        "booking_id": row.bill.subject,
        "user_id": row.bill.user_id,
        "amount": str(amount(row.amount)),
        "issued_at": row.issued_at,
    }
