"""All SQL of the saga's operations: set-based, one statement a table for a whole batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from contracts import bounds
from contracts.commands import Charge
from contracts.outcomes import Refused
from pagos import gateway
from pagos.models import PaymentStatus
from sagas import sql
from sagas.faults import Damaged


@dataclass(frozen=True, kw_only=True)
class Held:
    """A payment whose row is locked."""

    id: str
    saga_id: str
    amount: Decimal
    status: PaymentStatus


def add_payments(*, charges: Sequence[Charge], decided: Sequence[Refused | None]) -> dict[str, str]:
    """Writes a payment for each charge, refused ones too; returns their ids by saga id."""
    return dict(
        _execute(
            """
            INSERT INTO pagos_payment
                   (id, saga_id, cart_id, amount, payment_method, status, code, detail)
            SELECT gen_random_uuid()::text, saga_id, cart_id, amount, payment_method, status,
                   code, detail
            FROM json_to_recordset(%s)
                 AS v (saga_id text, cart_id text, amount numeric, payment_method text,
                       status text, code text, detail text)
            RETURNING saga_id, id
            """,
            [sql.rows(_row(*one) for one in zip(charges, decided, strict=True))],
        )
    )


def lock_payments(*, saga_ids: Sequence[str]) -> dict[str, Held]:
    """The payments of these sagas, by saga id."""
    rows = _execute(
        """
        SELECT id, saga_id, amount, status FROM pagos_payment WHERE saga_id = ANY(%s)
        ORDER BY saga_id FOR NO KEY UPDATE
        """,
        [sorted(saga_ids)],
    )
    return {row[1]: _held(*row) for row in rows}


def refund(*, payments: Sequence[Held], reasons: Mapping[str, str]) -> None:
    """Gives locked payments back whole. `reasons`: why, by saga id."""
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
        [sql.rows({"id": one.id, "reason": reasons[one.saga_id][:200]} for one in payments)],
    )


def _held(payment_id: str, saga_id: str, amount: Decimal, status: str) -> Held:
    if not bounds.is_money(amount, most=bounds.MOST_MONEY):
        raise Damaged(f"Payment {payment_id} of saga {saga_id} is of no amount: {amount}.")
    try:
        return Held(id=payment_id, saga_id=saga_id, amount=amount, status=PaymentStatus(status))
    except ValueError as error:
        detail = f"Payment {payment_id} of saga {saga_id} has no such status: {status!r}."
        raise Damaged(detail) from error


def _row(charge: Charge, refused: Refused | None) -> dict[str, object]:
    """What was asked for goes in as it came where it can be stored; `detail` tells the rest."""
    return {
        "saga_id": charge.saga_id,
        "cart_id": charge.cart_id,
        "amount": charge.amount if gateway.is_chargeable(amount=charge.amount) else 0,
        "payment_method": charge.payment_method[:64],
        "status": (PaymentStatus.REFUSED if refused else PaymentStatus.CAPTURED).value,
        "code": refused.code if refused else "",
        "detail": refused.detail if refused else "",
    }


def _execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service="pagos", sql=statement, values=values)
