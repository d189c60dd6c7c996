"""What pagos has taken and given back."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from django.db import connections, transaction

from participant import performing
from participant.barrier import Entry

SERVICE = "pagos"
NET = """
    SELECT saga_id,
           sum(amount) FILTER (WHERE status IN ('captured', 'refunded'))
           - coalesce((SELECT sum(amount) FROM pagos_refund AS refund
                       WHERE refund.saga_id = payment.saga_id), 0)
    FROM pagos_payment AS payment GROUP BY saga_id
"""


def nets() -> dict[str, Decimal]:
    """By saga id: captured less refunded, as the rows say; what was never charged is missing."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute(NET)
        return {saga_id: net or Decimal(0) for saga_id, net in cursor.fetchall()}


@contextmanager
def no_guards(monkeypatch) -> Iterator[None]:
    """For controls: without the barrier, and without the payment's own constraint."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("ALTER TABLE pagos_payment DROP CONSTRAINT payment_once_a_step")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(
                performing.barrier,
                "enter",
                lambda *, operation, commands: Entry(
                    fresh={performing.barrier.key_of(operation, one): 0 for one in commands},
                    settled={},
                    known={},
                ),
            )
            yield
    finally:
        with transaction.atomic(using=SERVICE), connections[SERVICE].cursor() as cursor:
            cursor.execute("TRUNCATE pagos_payment CASCADE")
            cursor.execute(
                "ALTER TABLE pagos_payment"
                " ADD CONSTRAINT payment_once_a_step UNIQUE (saga_id, step)"
            )
