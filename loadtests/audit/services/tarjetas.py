"""tarjetas: the card network has taken and refunded the same as pagos."""

from collections.abc import Iterator
from typing import NamedTuple

from loadtests.audit.evidence import Evidence, Finding, RowSource, money
from loadtests.audit.generic import Effect
from loadtests.audit.services.pagos import PaymentRow


class ChargeRow(NamedTuple):
    """`key`: pagos' name for it. `status`: at the time of the audit."""

    saga_id: str
    key: str
    status: str
    amount: int


_STATUS = "CASE WHEN status = 'processing' AND answers_at <= now() THEN 'captured' ELSE status END"
SOURCES = [
    RowSource(
        "tarjetas",
        ChargeRow,
        f"""
        SELECT saga_id, key, {_STATUS}, (amount * 100)::bigint FROM tarjetas_charge
        WHERE saga_id <> ''
        """,
    )
]
EFFECTS: list[Effect] = []
_COUNTED = "SELECT count(*), count(*) FILTER (WHERE status = 'refunded') FROM tarjetas_charge"
COUNTED = [(2, _COUNTED, "charges at the card network: {}, refunded: {}")]


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: the network keeps the amount of each card payment that pagos has."""
    payments = {
        f"{payment.saga_id}:{payment.taken_by}": payment
        for payment in saga.of(PaymentRow)
        if payment.taken_by and payment.by_card
    }
    charges: dict[str, list[ChargeRow]] = {}
    for charge in saga.of(ChargeRow):
        charges.setdefault(charge.key, []).append(charge)
    for key in sorted(payments.keys() | charges.keys()):
        if what := _differs(payments.get(key), charges.get(key, [])):
            yield 2, f"{key}: {what}"


def _differs(payment: PaymentRow | None, charges: list[ChargeRow]) -> str:
    kept = [charge.amount for charge in charges if charge.status == "captured"]
    at_network = f"the card network keeps {money(sum(kept))}"
    if payment is None:
        return f"{at_network}, and pagos has no such payment" if kept else ""
    if payment.is_owed or payment.status == "pending":
        return ""
    wanted = [payment.amount] if payment.status == "captured" and payment.amount else []
    if kept == wanted:
        return ""
    return f"{at_network}, but pagos has {payment.status}, {money(payment.amount)}"


def sums() -> Iterator[tuple[int, str, str]]:
    yield from ()
