"""The money that pagos has taken and given back."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from django.db import connections

from participant import barrier, sql

SERVICE = "pagos"
NET = """
    SELECT saga_id,
           sum(amount) FILTER (WHERE status IN ('captured', 'refunded'))
           - coalesce((SELECT sum(amount) FROM pagos_refund AS refund
                       WHERE refund.saga_id = payment.saga_id), 0)
    FROM pagos_payment AS payment GROUP BY saga_id
"""


def nets() -> dict[str, Decimal]:
    """By saga id: captured less refunded, by the rows; sagas without a charge are missing."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute(NET)
        return {saga_id: net or Decimal(0) for saga_id, net in cursor.fetchall()}


@contextmanager
def no_guards(monkeypatch) -> Iterator[None]:
    """For controls: each repeated charge is another payment, as if its saga were new.

    Drops everything that holds the key of a step: the barrier, the decision, the payment's
    constraint.
    """
    enter = barrier.enter

    def forgetting(*, operation, commands):
        barrier.forget(operation=operation, commands=commands)
        saga_ids = [command.saga_id for command in commands]
        for statement in (
            "DELETE FROM pagos_decision WHERE saga_id = ANY(%s)",
            "UPDATE pagos_payment SET step = id, taken_by = id WHERE saga_id = ANY(%s)",
        ):
            sql.execute(service=SERVICE, sql=statement, values=[saga_ids])
        return enter(operation=operation, commands=commands)

    with monkeypatch.context() as patch:
        patch.setattr(barrier, "enter", forgetting)
        yield
