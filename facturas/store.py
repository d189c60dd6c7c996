"""What facturas stores, and all its SQL: rows locked in a fixed order, written set-based.

Order of locks: bills by id, and last the year's counter, which is held for as short as possible.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from contracts import bounds
from facturas.models import Bill, BillStatus, Invoice, InvoiceKind
from participant import sql
from participant.models import owned_by

_execute = sql.of("facturas")

Key = tuple[str, str]
"""A saga's id and a step: a saga may have several bills."""


@dataclass(frozen=True, kw_only=True)
class NewBill:
    """A bill to be written."""

    saga_id: str
    step: str
    subject: str
    user_id: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class LockedBill:
    """A bill whose row is locked."""

    id: int
    key: Key
    amount: Decimal
    status: BillStatus


def add_bills(*, bills: Sequence[NewBill]) -> dict[Key, int]:
    """Writes the bills, open; returns their ids."""
    if not bills:
        return {}
    rows = _execute(
        """
        INSERT INTO facturas_bill (saga_id, step, subject, user_id, amount, status)
        SELECT saga_id, step, subject, user_id, amount, 'open'
        FROM json_to_recordset(%s)
             AS v (saga_id text, step text, subject text, user_id text, amount numeric)
        ORDER BY saga_id, step
        RETURNING saga_id, step, id
        """,
        [
            sql.rows(
                {
                    "saga_id": bill.saga_id,
                    "step": bill.step,
                    "subject": bill.subject,
                    "user_id": bill.user_id,
                    "amount": bill.amount,
                }
                for bill in bills
            )
        ],
    )
    return {(row[0], row[1]): row[2] for row in rows}


_COLUMNS = "bill.id, bill.saga_id, bill.step, bill.amount, bill.status"


def lock_bills(*, ids: Collection[int]) -> dict[int, LockedBill]:
    """Locks the bills with these ids."""
    rows = _execute(
        f"""
        SELECT {_COLUMNS} FROM facturas_bill AS bill WHERE id = ANY(%s)
        ORDER BY id FOR NO KEY UPDATE
        """,
        [list(ids)],
    )
    return {row[0]: _locked(*row) for row in rows}


def lock_bills_of(*, keys: Collection[Key]) -> dict[Key, LockedBill]:
    """Locks the bills of these steps."""
    rows = _execute(
        f"""
        SELECT {_COLUMNS} FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN facturas_bill AS bill USING (saga_id, step)
        ORDER BY bill.id FOR NO KEY UPDATE OF bill
        """,
        [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)],
    )
    return {(row[1], row[2]): _locked(*row) for row in rows}


def close_bills(*, statuses: Mapping[int, BillStatus], reasons: Mapping[int, str]) -> None:
    """Closes locked bills with these statuses (failed or credited) and reasons, by id."""
    if statuses:
        _execute(
            """
            UPDATE facturas_bill AS bill
            SET status = v.status, failed_because = v.reason, closed_at = clock_timestamp()
            FROM json_to_recordset(%s) AS v (id bigint, status text, reason text)
            WHERE bill.id = v.id
            """,
            [
                sql.rows(
                    {"id": bill_id, "status": status.value, "reason": reasons[bill_id][:64]}
                    for bill_id, status in statuses.items()
                )
            ],
        )


def pay_bills(*, ids: Collection[int]) -> None:
    """Marks locked bills as paid."""
    if ids:
        _execute(
            """
            UPDATE facturas_bill SET status = 'paid', paid_at = clock_timestamp()
            WHERE id = ANY(%s)
            """,
            [list(ids)],
        )


def issue(*, bills: Sequence[LockedBill], kind: InvoiceKind) -> dict[int, str]:
    """Issues an invoice (or credit note) for each locked bill; returns their numbers by bill id.

    The counter's row is locked here, after all others, until the transaction ends: numbers have no
    gaps, also after a rollback. Times are taken under that lock, so they follow the numbers' order,
    and stay in the number's year.
    """
    if not bills:
        return {}
    rows = _execute(
        """
        WITH counter AS MATERIALIZED (
            INSERT INTO facturas_invoicecounter AS counter (year, last)
            VALUES (extract(year FROM clock_timestamp() AT TIME ZONE 'UTC'), %s)
            ON CONFLICT (year) DO UPDATE SET last = counter.last + excluded.last
            RETURNING year, last - %s AS given
        ), numbered AS MATERIALIZED (
            SELECT bill_id, amount,
                   year || '-' || CASE WHEN given + place < 1000000
                                       THEN to_char(given + place, 'FM000000')
                                       ELSE (given + place)::text END AS number,
                   least(clock_timestamp(), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC')
                                            - interval '1 microsecond') AS issued_at
            FROM json_to_recordset(%s) AS v (place int, bill_id bigint, amount numeric),
                 counter
        )
        INSERT INTO facturas_invoice (number, kind, bill_id, amount, issued_at)
        SELECT number, %s, bill_id, amount, issued_at FROM numbered
        RETURNING bill_id, number
        """,
        [
            len(bills),
            len(bills),
            sql.rows(
                {"place": place, "bill_id": bill.id, "amount": bill.amount}
                for place, bill in enumerate(bills, start=1)
            ),
            kind.value,
        ],
    )
    return dict(rows)


def _locked(bill_id: int, saga_id: str, step: str, amount: Decimal, status: str) -> LockedBill:
    row = f"Bill {bill_id} of saga {saga_id}"
    known = sql.status_of(row, kind=BillStatus, stored=status)
    return LockedBill(id=bill_id, key=(saga_id, step), amount=amount, status=known)


# Queries.


def bills(*, subject: str = "", user_id: str = "", status: str = "") -> QuerySet[Bill]:
    """The bills (of a booking, of a user, of a status) with their invoices, newest first."""
    wanted = {"subject": subject, "user_id": user_id, "status": status}
    named = {name: value for name, value in wanted.items() if value}
    return Bill.objects.prefetch_related("invoices").filter(**named).order_by("-id")


def bill(*, bill_id: str, user_id: str | None = None) -> Bill | None:
    """The bill with this id. `user_id`: whose it must be."""
    mine = bills().filter(owned_by(user_id))
    return mine.filter(pk=bounds.number_in(bill_id) or 0).first()


def invoices(*, subject: str = "", user_id: str = "", kind: str = "") -> QuerySet[Invoice]:
    """The invoices and credit notes (of a booking, of a user, of a kind), newest first."""
    wanted = {"bill__subject": subject, "bill__user_id": user_id, "kind": kind}
    named = {name: value for name, value in wanted.items() if value}
    return Invoice.objects.select_related("bill").filter(**named).order_by("-issued_at", "-number")


def invoice(*, number: str, user_id: str | None = None) -> Invoice | None:
    """The invoice or credit note with this number. `user_id`: whose it must be."""
    return invoices().filter(owned_by(user_id, "bill__user_id"), pk=number).first()
