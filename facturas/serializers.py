"""Bills and invoices as the API shows them."""

from typing import Any

from contracts.bounds import Asked, amount
from facturas.models import Bill, BillStatus, Invoice, InvoiceKind
from httpapi import pages


class BillFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which bills to list: `?booking_id=&user_id=&status=`, and as all pages are asked for."""

    booking_id: Asked | None = None
    user_id: Asked | None = None
    status: BillStatus | None = None


class InvoiceFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which invoices to list: `?booking_id=&user_id=&kind=`, and as all pages are asked for."""

    booking_id: Asked | None = None
    user_id: Asked | None = None
    kind: InvoiceKind | None = None


def bill(row: Bill) -> dict[str, Any]:
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


def invoice(row: Invoice) -> dict[str, Any]:
    """An invoice or a credit note, with whose it is."""
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
