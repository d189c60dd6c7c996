"""pagos: money is taken once, and refunded at most once and in full; credits add up."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, cents_of, money
from loadtests.audit.generic import effects_of
from loadtests.audit.reading import rows


class PaymentRow(NamedTuple):
    """A payment with its refund. `taken_by`: the step that takes the money; `is_owed`: a request to
    the card network is due; `by_card`: whether a card pays it, not credits.
    """

    saga_id: str
    step: str
    payment_id: str
    status: str
    amount: int
    refunded: int | None
    taken_by: str
    is_owed: bool
    by_card: bool


SOURCES = [
    RowSource(
        "pagos",
        PaymentRow,
        """
        SELECT payment.saga_id, step, payment.id, status, (payment.amount * 100)::bigint,
               (refund.amount * 100)::bigint, taken_by, ask_at IS NOT NULL,
               payment_method <> 'credits'
        FROM pagos_payment AS payment
        LEFT JOIN pagos_refund AS refund ON refund.payment_id = payment.id
        WHERE payment.saga_id IS NOT NULL
        """,
    )
]

_PLAIN = """
    SELECT payment.id, status, payment.amount, refund.amount
    FROM pagos_payment AS payment LEFT JOIN pagos_refund AS refund ON payment_id = payment.id
    WHERE payment.saga_id IS NULL
      AND (refund.id IS NOT NULL) <> (status = 'refunded') OR refund.amount <> payment.amount
    ORDER BY payment.id
"""
_KEYS = """
    SELECT merchant_id || ' ' || idempotency_key, string_agg(id, ', ' ORDER BY id)
    FROM pagos_payment
    WHERE idempotency_key > '' GROUP BY merchant_id, idempotency_key HAVING count(*) > 1 ORDER BY 1
"""
_OWED = """
    SELECT coalesce(saga_id, ''), id, status FROM pagos_payment
    WHERE ask_at IS NOT NULL AND status <> 'pending' ORDER BY id
"""
_CREDITS = """
    SELECT account.user_id, initial, balance, spent, refunded,
           coalesce(sum(amount) FILTER (WHERE kind = 'granted'), 0),
           coalesce(sum(amount) FILTER (WHERE kind = 'spent'), 0),
           coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0)
    FROM pagos_creditaccount AS account
    LEFT JOIN pagos_creditmovement AS movement ON movement.account_id = account.user_id
    GROUP BY account.user_id ORDER BY account.user_id
"""
_COUNTED = """
    SELECT (SELECT count(*) FROM pagos_payment WHERE saga_id IS NOT NULL),
           (SELECT count(*) FROM pagos_refund WHERE saga_id IS NOT NULL),
           (SELECT count(*) FROM pagos_creditaccount)
"""

EFFECTS = effects_of(
    PaymentRow,
    {
        ("payment", "pagos.charge", Direction.DO): lambda row, step: (
            _is_taken(row) and row.step == step
        ),
        ("refund", "pagos.charge", Direction.UNDO): lambda row, step: (
            row.refunded is not None and row.step == step
        ),
        ("payment to confirm", "pagos.create_payment", Direction.DO): lambda row, step: (
            row.step == step and (row.status != "refused" or bool(row.taken_by))
        ),
        ("confirmed payment", "pagos.confirm_payment", Direction.DO): lambda row, step: (
            _is_taken(row) and row.taken_by == step
        ),
        ("refund", "pagos.confirm_payment", Direction.UNDO): lambda row, step: (
            row.refunded is not None and row.taken_by == step
        ),
        ("payment of a bill", "pagos.pay_bill", Direction.DO): lambda row, step: (
            _is_taken(row) and row.step == step
        ),
        ("refund", "pagos.pay_bill", Direction.UNDO): lambda row, step: (
            row.refunded is not None and row.step == step
        ),
    },
)
COUNTED = [(2, _COUNTED, "payments of sagas: {}, refunds: {}, credit accounts: {}")]


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: each step took its amount once, and refunded it at most once and in full."""
    found = saga.of(PaymentRow)
    for payment in found if saga.is_over else ():
        if payment.status == "pending":
            yield 2, f"{saga.status}, but payment {payment.payment_id} is still pending"
    for name in dict.fromkeys(payment.step for payment in found):
        of_step = [payment for payment in found if payment.step == name]
        yield from ((2, what) for what in _money(of_step))
    for step in saga.definition.steps if found else ():
        if step.operation in ("pagos.charge", "pagos.create_payment"):
            wanted = cents_of(saga.data.get(step.needs.get("amount", "amount")))
            for payment in found:
                if payment.step == step.name and wanted is not None and payment.amount != wanted:
                    yield 2, f"{step.name} was to take {money(wanted)}, not {money(payment.amount)}"


def _money(found: list[PaymentRow]) -> Iterator[str]:
    taken = {payment.payment_id: payment for payment in found if _is_taken(payment)}
    if len(taken) > 1:
        yield f"charged {len(taken)} times: payments {', '.join(sorted(taken))}"
    refunds = [payment for payment in found if payment.refunded is not None]
    if len(refunds) > len({refund.payment_id for refund in refunds}):
        yield f"refunded {len(refunds)} times"
    for refund in refunds:
        if refund.refunded != refund.amount or refund.status != "refunded":
            yield (
                f"payment {refund.payment_id} of {money(refund.amount)} is {refund.status},"
                f" and {money(refund.refunded)} was refunded"
            )
    for payment in taken.values():
        if payment.status == "refunded" and payment.refunded is None:
            yield f"payment {payment.payment_id} is refunded, but there is no refund"


def owed() -> Iterator[tuple[int, str, str]]:
    """7: ended payments of which the card network was not notified."""
    for saga_id, payment_id, status in rows(service="pagos", statement=_OWED):
        yield 7, saga_id, f"the card network was not told of payment {payment_id}, {status}"


def sums() -> Iterator[tuple[int, str, str]]:
    """2: a payment without a saga is refunded in full or not at all; a user's credits add up, and
    match their movements. 8: a key stands for one payment.
    """
    for user, initial, balance, spent, refunded, *sums_ in rows(
        service="pagos", statement=_CREDITS
    ):
        if initial != balance + spent - refunded or sums_ != [initial, spent, refunded]:
            yield 2, "", f"credits of {user}: {initial} = {balance} + {spent} - {refunded}: {sums_}"
    for payment_id, status, amount, refunded in rows(service="pagos", statement=_PLAIN):
        what = f"payment {payment_id} of {amount} is {status}, and {refunded or 0} was refunded"
        yield 2, "", what
    for key, ids in rows(service="pagos", statement=_KEYS):
        yield 8, "", f"the idempotency key {key!r} stands for several at pagos: {ids}"


def kept(saga: Evidence) -> Iterator[Finding]:
    """2: an ended saga kept its total if it completed, else nothing; a running one either."""
    if saga.is_skipped or saga.accepted is None or saga.accepted.total is None:
        return
    total, found = saga.accepted.total, saga.of(PaymentRow)
    amounts = {payment.payment_id: payment.amount for payment in found if _is_taken(payment)}
    of_it = sum(amounts.values()) - sum(payment.refunded or 0 for payment in found)
    at_its_end = total if saga.is_completed else 0
    wanted = {at_its_end} if saga.is_over else {0, total}
    if of_it not in wanted:
        wants = " or ".join(money(cents) for cents in sorted(wanted))
        yield 2, f"{saga.status}, and {money(of_it)} was kept of {wants}"


def _is_taken(payment: PaymentRow) -> bool:
    return payment.status in ("captured", "refunded")
