"""facturas: a paid bill has an invoice, a credited bill also a credit note, and no invoice number
is missing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, money
from loadtests.audit.generic import effects_of, once_a_step
from loadtests.audit.reading import rows


class BillRow(NamedTuple):
    """A bill, with the amounts of its invoice and credit note, in cents."""

    saga_id: str
    step: str
    status: str
    amount: int
    invoiced: int | None
    credited: int | None


SOURCES = [
    RowSource(
        "facturas",
        BillRow,
        """
        SELECT saga_id, step, status, (bill.amount * 100)::bigint,
               (invoice.amount * 100)::bigint, (note.amount * 100)::bigint
        FROM facturas_bill AS bill
        LEFT JOIN facturas_invoice AS invoice
               ON invoice.bill_id = bill.id AND invoice.kind = 'invoice'
        LEFT JOIN facturas_invoice AS note
               ON note.bill_id = bill.id AND note.kind = 'credit_note'
        """,
    )
]
_NUMBERS = """
    SELECT coalesce(given.year, counter.year), coalesce(last, 0), coalesce(number, 0),
           coalesce(highest, 0)
    FROM (
        SELECT split_part(number, '-', 1)::int AS year, count(*) AS number,
               max(split_part(number, '-', 2)::bigint) AS highest
        FROM facturas_invoice GROUP BY 1
    ) AS given FULL JOIN facturas_invoicecounter AS counter USING (year)
    WHERE last IS DISTINCT FROM number OR last IS DISTINCT FROM highest ORDER BY 1
"""
_OF_ANOTHER_YEAR = """
    SELECT number, issued_at FROM facturas_invoice
    WHERE split_part(number, '-', 1)::int <> extract(year FROM issued_at AT TIME ZONE 'UTC')
    ORDER BY 1
"""
_COUNTED = """
    SELECT (SELECT count(*) FROM facturas_bill), count(*) FILTER (WHERE kind = 'invoice'),
           count(*) FILTER (WHERE kind = 'credit_note')
    FROM facturas_invoice
"""

EFFECTS = effects_of(
    BillRow,
    {
        ("bill", "facturas.create_bill", Direction.DO): lambda row, step: row.step == step,
        ("bill taken back", "facturas.create_bill", Direction.UNDO): lambda row, step: (
            row.step == step and row.status in ("failed", "credited")
        ),
        ("invoice", "facturas.issue_invoice", Direction.DO): lambda row, step: (
            row.invoiced is not None
        ),
    },
)
COUNTED = [(2, _COUNTED, "bills: {}, invoices: {}, credit notes: {}")]


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: a bill has the papers of its status, each of the whole amount. 6: one bill per step."""
    yield from once_a_step(saga, BillRow, "bills")
    for bill in saga.of(BillRow):
        yield from ((2, what) for what in _papers(bill))


def _papers(bill: BillRow) -> Iterator[str]:
    subject = f"the bill of {money(bill.amount)} is {bill.status}"
    for name, amount, is_wanted in (
        ("invoice", bill.invoiced, bill.status in ("paid", "credited")),
        ("credit note", bill.credited, bill.status == "credited"),
    ):
        if (amount is not None) != is_wanted:
            yield f"{subject}, and its {name} is {'missing' if amount is None else 'there'}"
        elif amount is not None and amount != bill.amount:
            yield f"{subject}, and its {name} of {money(amount)}"


def sums() -> Iterator[tuple[int, str, str]]:
    """2: a year's numbers have no gap, and are of that year."""
    for year, last, number, highest in rows(service="facturas", statement=_NUMBERS):
        what = f"{number} invoices of {year} up to {highest}, but its counter is {last}"
        yield 2, "", what
    for number, issued_at in rows(service="facturas", statement=_OF_ANOTHER_YEAR):
        yield 2, "", f"invoice {number} was issued on {issued_at:%Y-%m-%d}"


def settled(saga: Evidence) -> Iterator[Finding]:
    """4: the bill of an ended saga is paid if it completed, else cancelled or credited."""
    wanted = ("paid",) if saga.is_completed else ("failed", "credited")
    found = saga.of(BillRow)
    if saga.is_completed and not found:
        yield 4, "completed, but there is no bill of it"
    for bill in found:
        if bill.status not in wanted:
            yield 4, f"{saga.status}, but its bill is {bill.status}"
        if saga.accepted and bill.amount != saga.accepted.total:
            yield 4, f"total {money(saga.accepted.total)}, {money(bill.amount)} on its bill"
