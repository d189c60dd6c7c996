"""Looking at bills and invoices."""

from django.db.models import QuerySet

from facturas.models import Bill, Invoice


def bills(*, subject: str = "", user_id: str = "", status: str = "") -> QuerySet[Bill]:
    """The bills (of a booking, of a user, of a status) with their invoices, newest first."""
    wanted = {"subject": subject, "user_id": user_id, "status": status}
    named = {name: value for name, value in wanted.items() if value}
    return Bill.objects.prefetch_related("invoices").filter(**named).order_by("-id")


def bill(*, bill_id: str) -> Bill | None:
    """The bill with this id."""
    is_id = bill_id.isascii() and bill_id.isdecimal() and len(bill_id) < 19
    return bills().filter(pk=int(bill_id)).first() if is_id else None


def invoices(*, subject: str = "", user_id: str = "", kind: str = "") -> QuerySet[Invoice]:
    """The invoices and credit notes (of a booking, of a user, of a kind), newest first."""
    wanted = {"bill__subject": subject, "bill__user_id": user_id, "kind": kind}
    named = {name: value for name, value in wanted.items() if value}
    return Invoice.objects.select_related("bill").filter(**named).order_by("-issued_at", "-number")


def invoice(*, number: str) -> Invoice | None:
    """The invoice or credit note with this number."""
    return invoices().filter(pk=number).first()
