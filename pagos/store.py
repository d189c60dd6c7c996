"""All SQL of pagos: set-based, one statement a table for a whole batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from contracts import bounds
from contracts.commands import Charge
from contracts.outcomes import Refused
from pagos import gateway
from pagos.models import PaymentStatus
from participant import sql
from participant.sql import Damaged

Key = tuple[str, str]
"""A saga's id, and its step: a saga may charge in several."""


@dataclass(frozen=True, kw_only=True)
class LockedPayment:
    """A payment whose row is locked."""

    id: str
    key: Key
    amount: Decimal
    status: PaymentStatus


def add_payments(
    *, charges: Mapping[Key, Charge], refusals: Mapping[Key, Refused]
) -> dict[Key, str]:
    """Writes a payment for each charge, refused ones too; returns their ids."""
    rows = _execute(
        """
        INSERT INTO pagos_payment
               (id, saga_id, step, subject, amount, payment_method, status, code, detail)
        SELECT gen_random_uuid()::text, saga_id, step, subject, amount, payment_method, status,
               code, detail
        FROM json_to_recordset(%s)
             AS v (saga_id text, step text, subject text, amount numeric, payment_method text,
                   status text, code text, detail text)
        RETURNING saga_id, step, id
        """,
        [sql.rows(_row(key[1], row, refusals.get(key)) for key, row in charges.items())],
    )
    return {(saga_id, step): payment_id for saga_id, step, payment_id in rows}


def lock_payments(*, keys: Iterable[Key]) -> dict[Key, LockedPayment]:
    """The payments of these steps."""
    rows = _execute(
        """
        SELECT payment.id, payment.saga_id, payment.step, payment.amount, payment.status
        FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN pagos_payment AS payment USING (saga_id, step)
        ORDER BY payment.saga_id, payment.step FOR NO KEY UPDATE OF payment
        """,
        [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)],
    )
    return {(row[1], row[2]): _locked(*row) for row in rows}


def refund(*, payments: Sequence[LockedPayment], reasons: Mapping[Key, str]) -> None:
    """Gives locked payments back whole. `reasons`: why, of each."""
    if not payments:
        return
    _execute(
        """
        WITH given_back AS (
            UPDATE pagos_payment AS payment SET status = 'refunded'
            FROM json_to_recordset(%s) AS v (id text, reason text)
            WHERE payment.id = v.id
            RETURNING payment.id, saga_id, amount, v.reason
        )
        INSERT INTO pagos_refund (payment_id, saga_id, amount, reason)
        SELECT id, saga_id, amount, reason FROM given_back
        """,
        [sql.rows({"id": row.id, "reason": reasons[row.key][:200]} for row in payments)],
    )


def _locked(
    payment_id: str, saga_id: str, step: str, amount: Decimal, status: str
) -> LockedPayment:
    if not bounds.is_money(amount, most=bounds.MOST_MONEY):
        raise Damaged(f"Payment {payment_id} of saga {saga_id} is of no amount: {amount}.")
    try:
        known = PaymentStatus(status)
    except ValueError as error:
        detail = f"Payment {payment_id} of saga {saga_id} has no such status: {status!r}."
        raise Damaged(detail) from error
    return LockedPayment(id=payment_id, key=(saga_id, step), amount=amount, status=known)


def _row(step: str, charge: Charge, refused: Refused | None) -> dict[str, object]:
    """What was asked for goes in as it came where it can be stored; `detail` tells the rest."""
    return {
        "saga_id": charge.saga_id,
        "step": step,
        "subject": charge.subject,
        "amount": charge.amount if gateway.is_chargeable(amount=charge.amount) else 0,
        "payment_method": charge.payment_method[:64],
        "status": (PaymentStatus.REFUSED if refused else PaymentStatus.CAPTURED).value,
        "code": refused.code if refused else "",
        "detail": refused.detail if refused else "",
    }


def _execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service="pagos", sql=statement, values=values)
