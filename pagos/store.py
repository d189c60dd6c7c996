"""What pagos stores, and all its SQL: set-based, one statement a table for a whole batch.

Order of locks: the barrier, payments by saga and step, credit accounts by user.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from contracts import bounds
from contracts.outcomes import Refused
from pagos.models import CreditAccount, Decision, Payment, PaymentStatus
from participant import sql, trail
from participant.sql import Damaged

_execute = sql.of("pagos")

Key = tuple[str, str]
"""A saga's id and a step: a saga may charge in several steps."""


@dataclass(frozen=True, kw_only=True)
class LockedPayment:
    """A payment whose row is locked."""

    id: str
    key: Key
    amount: Decimal
    payment_method: str
    refund_to: str
    user_id: str
    status: PaymentStatus


@dataclass(frozen=True, kw_only=True)
class ToAsk:
    """A payment about which the card network is to be asked. If `status` is pending, its money is
    to be taken for the step `taken_by` (of the operation `action`); otherwise it is to be given
    back.
    """

    id: str
    saga_id: str
    taken_by: str
    amount: Decimal
    payment_method: str
    status: str
    saga: str
    action: str

    @property
    def key(self) -> str:
        """The payment's key at the network, the same for every attempt."""
        return f"{self.saga_id}:{self.taken_by}" if self.saga_id else f"payment:{self.id}"


def add_payments(*, payments: Sequence[Mapping[str, Any]], lease: float) -> dict[Key, str]:
    """Writes the payments; returns their ids. Fields of each: saga_id, step, subject, amount,
    payment_method, user_id, status, taken_by, code and detail. The network is due to be asked about
    a pending payment with a `taken_by` after `lease` seconds; its writer asks before.
    """
    rows = _execute(
        """
        INSERT INTO pagos_payment
               (id, saga_id, step, subject, amount, payment_method, user_id, status, taken_by,
                code, detail, ask_at)
        SELECT gen_random_uuid()::text, saga_id, step, subject, amount, payment_method, user_id,
               status, taken_by, code, detail,
               CASE WHEN status = 'pending' AND taken_by <> ''
                    THEN clock_timestamp() + make_interval(secs => %s) END
        FROM json_to_recordset(%s)
             AS v (saga_id text, step text, subject text, amount numeric, payment_method text,
                   user_id text, status text, taken_by text, code text, detail text)
        RETURNING saga_id, step, id
        """,
        [lease, sql.rows(payments)],
    )
    return {(saga_id, step): payment_id for saga_id, step, payment_id in rows}


_LOCKED = """
    payment.id, payment.saga_id, v.step, payment.amount, payment.payment_method, payment.refund_to,
    payment.user_id, payment.status
"""


def lock_payments(*, keys: Iterable[Key]) -> dict[Key, LockedPayment]:
    """Locks the payments that these steps made, or whose money they take. Raises Damaged if a step
    has none: another operation was called under its key.
    """
    keys = list(keys)
    rows = _execute(
        f"""
        SELECT {_LOCKED} FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN pagos_payment AS payment
          ON payment.saga_id = v.saga_id AND v.step IN (payment.step, taken_by)
        ORDER BY payment.saga_id, payment.step FOR NO KEY UPDATE OF payment
        """,
        [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)],
    )
    found = {(row[1], row[2]): _locked(*row) for row in rows}
    for saga_id, step in keys:
        if (saga_id, step) not in found:
            raise Damaged(f"There is no payment of the step {step} of saga {saga_id}.")
    return found


def lock_named(*, ids: Mapping[Key, str]) -> dict[Key, LockedPayment]:
    """Locks the payments with the ids that these steps name, if they are of the step's saga."""
    rows = _execute(
        f"""
        SELECT {_LOCKED} FROM json_to_recordset(%s) AS v (saga_id text, step text, id text)
        JOIN pagos_payment AS payment ON payment.id = v.id AND payment.saga_id = v.saga_id
        ORDER BY payment.saga_id, payment.step FOR NO KEY UPDATE OF payment
        """,
        [
            sql.rows(
                {"saga_id": saga_id, "step": step, "id": payment_id}
                for (saga_id, step), payment_id in ids.items()
            )
        ],
    )
    return {(row[1], row[2]): _locked(*row) for row in rows}


def settle(*, payments: Sequence[Mapping[str, Any]], lease: float = 0.0) -> None:
    """Sets the `status` of locked payments (by `id`), and, if given, `code` and `detail` of a
    refusal, `taken_by`, `payment_method`. `asks`: whether the card network is to be asked about it,
    after `lease` seconds.
    """
    if payments:
        _execute(
            """
            UPDATE pagos_payment AS payment
            SET status = v.status, code = coalesce(v.code, ''), detail = coalesce(v.detail, ''),
                taken_by = coalesce(v.taken_by, payment.taken_by),
                payment_method = coalesce(v.payment_method, payment.payment_method),
                times_asked = 0,
                ask_at = CASE WHEN v.asks
                              THEN clock_timestamp() + make_interval(secs => %s) END
            FROM json_to_recordset(%s)
                 AS v (id text, status text, code text, detail text, taken_by text,
                       payment_method text, asks bool)
            WHERE payment.id = v.id
            """,
            [lease, sql.rows(payments)],
        )


def refund_to(*, payment_id: str, method: str) -> bool:
    """Sets where a captured payment's money goes back to; False if the payment is not captured."""
    with transaction.atomic(using="pagos"):
        rows = _execute(
            """
            UPDATE pagos_payment SET refund_to = %s WHERE id = %s AND status = 'captured'
            RETURNING id
            """,
            [method, payment_id],
        )
        subjects = [(f"payment {row[0]}", method) for row in rows]
        trail.note(service="pagos", action="payment.refund_to", subjects=subjects)
    return bool(rows)


def add_refunds(*, payments: Sequence[LockedPayment], reasons: Mapping[Key, str]) -> None:
    """Records full refunds of locked payments. `reasons`: by key."""
    if payments:
        _execute(
            """
            INSERT INTO pagos_refund (payment_id, saga_id, amount, reason)
            SELECT id, saga_id, amount, reason
            FROM json_to_recordset(%s) AS v (id text, saga_id text, amount numeric, reason text)
            """,
            [
                sql.rows(
                    {
                        "id": payment.id,
                        "saga_id": payment.key[0],
                        "amount": payment.amount,
                        "reason": reasons[payment.key][:200],
                    }
                    for payment in payments
                )
            ],
        )


_TO_ASK = """
    payment.id, coalesce(payment.saga_id, ''), taken_by, amount, payment_method, payment.status,
    coalesce(decision.saga, ''), coalesce(decision.action, '')
"""
_ITS_DECISION = """
    LEFT JOIN pagos_decision AS decision
      ON decision.saga_id = payment.saga_id AND decision.step = payment.taken_by
"""


def claim_to_ask(*, limit: int, lease: float) -> list[ToAsk]:
    """Claims the payments about which the card network is due to be asked, the longest due first.
    No other worker claims them for `lease` seconds.
    """
    rows = _execute(
        f"""
        WITH due AS (
            SELECT id FROM pagos_payment WHERE ask_at <= statement_timestamp()
            ORDER BY ask_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
        ), payment AS (
            UPDATE pagos_payment AS claimed
            SET ask_at = clock_timestamp() + make_interval(secs => %s),
                times_asked = times_asked + 1
            FROM due WHERE claimed.id = due.id RETURNING claimed.*
        )
        SELECT {_TO_ASK} FROM payment {_ITS_DECISION}
        """,
        [limit, lease],
    )
    return [_to_ask(*row) for row in rows]


def to_ask(*, keys: Iterable[Key]) -> list[ToAsk]:
    """The payments whose money these steps take, if the network is to be asked about them."""
    rows = _execute(
        f"""
        SELECT {_TO_ASK} FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN pagos_payment AS payment
          ON payment.saga_id = v.saga_id AND taken_by = v.step AND ask_at IS NOT NULL
        {_ITS_DECISION}
        """,
        [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)],
    )
    return [_to_ask(*row) for row in rows]


def plain_to_ask(*, payment_id: str) -> list[ToAsk]:
    """The payment without a saga with this id, if the network is to be asked about it."""
    rows = _execute(
        f"""
        SELECT {_TO_ASK} FROM pagos_payment AS payment {_ITS_DECISION}
        WHERE payment.id = %s AND ask_at IS NOT NULL
        """,
        [payment_id],
    )
    return [_to_ask(*row) for row in rows]


def ask_again(*, seconds: Mapping[str, float]) -> None:
    """Has the network asked about these payments (by id) again after so many seconds."""
    _execute(
        """
        UPDATE pagos_payment AS payment
        SET ask_at = clock_timestamp() + make_interval(secs => v.seconds)
        FROM json_to_recordset(%s) AS v (id text, seconds float8)
        WHERE payment.id = v.id AND ask_at IS NOT NULL
        """,
        [sql.rows({"id": payment_id, "seconds": after} for payment_id, after in seconds.items())],
    )


def given_back(*, ids: Sequence[str]) -> None:
    """Records that the card network has given back what it took for these payments."""
    _execute(
        """
        UPDATE pagos_payment SET ask_at = NULL
        WHERE id = ANY(%s) AND status IN ('refunded', 'cancelled')
        """,
        [list(ids)],
    )


def decide_plain(*, ids: Sequence[str], refusals: Mapping[str, Refused]) -> None:
    """Records the network's answers for payments without a saga: captured, or refused."""
    _execute(
        """
        UPDATE pagos_payment AS payment
        SET status = CASE WHEN v.code = '' THEN 'captured' ELSE 'refused' END, code = v.code,
            detail = v.detail, ask_at = NULL
        FROM json_to_recordset(%s) AS v (id text, code text, detail text)
        WHERE payment.id = v.id AND status = 'pending'
        """,
        [
            sql.rows(
                {"id": id_, "code": no.code if no else "", "detail": no.detail if no else ""}
                for id_ in ids
                for no in [refusals.get(id_)]
            )
        ],
    )


def lock_balances(*, user_ids: Iterable[str]) -> dict[str, Decimal]:
    """Locks these users' accounts, if they have one; returns their balances."""
    rows = _execute(
        """
        SELECT user_id, balance FROM pagos_creditaccount WHERE user_id = ANY(%s)
        ORDER BY user_id FOR NO KEY UPDATE
        """,
        [sorted(set(user_ids))],
    )
    return dict(rows)


def move_credits(*, kind: str, payments: Sequence[LockedPayment]) -> None:
    """Spends the payments' amounts (`kind`: spent), or gives them back (refunded)."""
    if not payments:
        return
    _execute(
        """
        WITH moved AS (
            INSERT INTO pagos_creditmovement (account_id, kind, amount, saga_id, step)
            SELECT user_id, %(kind)s, amount, saga_id, step
            FROM json_to_recordset(%(rows)s)
                 AS v (user_id text, amount numeric, saga_id text, step text)
            RETURNING account_id, amount
        ), total AS (SELECT account_id, sum(amount) AS amount FROM moved GROUP BY account_id)
        UPDATE pagos_creditaccount AS account
        SET balance = balance + CASE %(kind)s WHEN 'spent' THEN -amount ELSE amount END,
            spent = spent + CASE %(kind)s WHEN 'spent' THEN amount ELSE 0 END,
            refunded = refunded + CASE %(kind)s WHEN 'spent' THEN 0 ELSE amount END
        FROM total WHERE account.user_id = total.account_id
        """,
        {
            "kind": kind,
            "rows": sql.rows(
                {
                    "user_id": payment.user_id,
                    "amount": payment.amount,
                    "saga_id": payment.key[0],
                    "step": payment.key[1],
                }
                for payment in payments
            ),
        },
    )


def grant(*, user_id: str, amount: Decimal) -> None:
    """Adds credits to a user's account, which is made if there is none."""
    with transaction.atomic(using="pagos"):
        _execute(
            """
            WITH account AS (
                INSERT INTO pagos_creditaccount AS known (user_id, initial, balance)
                VALUES (%(user_id)s, %(amount)s, %(amount)s)
                ON CONFLICT (user_id) DO UPDATE
                SET initial = known.initial + excluded.initial,
                    balance = known.balance + excluded.balance
                RETURNING user_id
            )
            INSERT INTO pagos_creditmovement (account_id, kind, amount)
            SELECT user_id, 'granted', %(amount)s FROM account
            """,
            {"user_id": user_id, "amount": amount},
        )
        subject = f"credits of {user_id}", f"+{amount}"
        trail.note(service="pagos", action="credits.grant", subjects=[subject])


def _locked(
    payment_id: str,
    saga_id: str,
    step: str,
    amount: Decimal,
    method: str,
    refund_to: str,
    user: str,
    status: str,
) -> LockedPayment:
    row = f"Payment {payment_id} of saga {saga_id}"
    if not bounds.is_money(amount, most=bounds.MOST_MONEY):
        raise Damaged(f"{row} is of no amount: {amount}.")
    known = sql.status_of(row, kind=PaymentStatus, stored=status)
    return LockedPayment(
        id=payment_id,
        key=(saga_id, step),
        amount=amount,
        payment_method=method,
        refund_to=refund_to,
        user_id=user,
        status=known,
    )


def _to_ask(*row: Any) -> ToAsk:
    return ToAsk(**dict(zip(ToAsk.__dataclass_fields__, row, strict=True)))


# Queries.


EVERY = Q()
"""The value of `seen` for a caller who may see all payments."""


def payment(*, payment_id: str, seen: Q = EVERY) -> Payment | None:
    """The payment with this id."""
    return payments().filter(seen, pk=payment_id).first()


def payment_of_saga(*, saga_id: str, seen: Q = EVERY) -> Payment | None:
    """The saga's payment; if several steps charged, the last."""
    return payments().filter(seen, saga_id=saga_id).first()


def payments_of(*, subject: str, seen: Q = EVERY) -> list[Payment]:
    """The payments of a cart or an order, newest first."""
    return list(payments().filter(seen, subject=subject))


def payment_to_confirm(*, payment_id: str, order_id: str, seen: Q = EVERY) -> Payment | None:
    """The newest payment with this id, or of this order, for its customer to confirm or cancel."""
    named = {"pk": payment_id} if payment_id else {"subject": order_id or None}
    return payments().exclude(saga_id=None).filter(seen, **named).first()


def payment_of_bill(*, saga_id: str, seen: Q = EVERY) -> Payment | None:
    """The payment of a bill, once the bill has been issued."""
    asked = Decision.objects.filter(saga_id=saga_id, action="pay_bill").first()
    return payments().filter(seen, saga_id=saga_id, step=asked.step).first() if asked else None


def credits(*, user_id: str, seen: Q = EVERY) -> CreditAccount | None:  # noqa: A001 -- as its users call it
    """The user's credits."""
    return CreditAccount.objects.filter(seen, pk=user_id).first()


def payments() -> QuerySet[Payment]:
    """All payments, newest first."""
    return Payment.objects.prefetch_related("refunds").order_by("-created_at", "-id")


def saga_of(*, payment_id: str) -> str | None:
    """The saga that a payment belongs to, if any."""
    return Payment.objects.filter(pk=payment_id).values_list("saga_id", flat=True).first()
