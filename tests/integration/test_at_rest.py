"""Thousands of sagas that wait for a decision cost nothing: no sweep reads their rows."""

from datetime import timedelta

import pytest
from django.utils import timezone

from coordination.decision_components import Overdue
from coordination.owner_views import Acceptance
from pagos.models import Decision
from participant import decisions as asked
from participant import sql
from pedidos.models import Order
from pedidos.operations import OWNER, Accept, OrderItem
from tests.seeded.shop import ADDRESS

pytestmark = pytest.mark.django_db(databases=["pedidos", "pagos"])

MANY = 2000
AGAIN = 8
"""PostgreSQL makes a custom plan for each of the first five executions of a statement."""


def rows_read(service, table):
    """The number of the table's rows that this transaction has read so far."""
    ((count,),) = sql.execute(
        service=service,
        sql="""
            SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int
            FROM pg_stat_xact_user_tables WHERE relname = %s
            """,
        values=[table],
    )
    return count


def let_many_wait():
    """Inserts orders that were handed over, and wait for their customers until tomorrow."""
    accepted = Acceptance(owner=OWNER).accept(
        command=Accept(
            saga_id="s",
            saga="purchase",
            step="accept_order",
            saga_pattern="choreographed",
            user_id="ana",
            items=[OrderItem(product_id="chair", quantity=1, unit_price="10.00")],
            total_amount="10.00",
            payment_method="credit_card",
            destination=ADDRESS,
        )
    )
    now = timezone.now()
    before = now - timedelta(hours=1)
    Order.objects.filter(pk=accepted.saga_id).update(
        accepted_at=before, handed_over_at=before, status="running"
    )
    sql.execute(
        service="pedidos",
        sql="""
            INSERT INTO pedidos_order
            SELECT (jsonb_populate_record(known, jsonb_build_object('saga_id', number))).*
            FROM pedidos_order AS known, generate_series(1, %s) AS number
            """,
        values=[MANY],
    )
    Decision.objects.bulk_create(
        Decision(
            saga_id=str(number),
            step="confirm_payment",
            saga="purchase",
            action="confirm_payment",
            decided_by="customer",
            opened_at=now,
            until=now + timedelta(days=1),
            command={},
            cause="",
        )
        for number in range(MANY)
    )


def read_by(look, service, table):
    """How many rows a worker reads in a look, after many: PostgreSQL keeps a plan that it has made
    for any values then, also one from when the table was small.
    """
    for _ in range(AGAIN):
        look()
    let_many_wait()
    sql.execute(service=service, sql=f"ANALYZE {table}")
    for _ in range(AGAIN):
        look()
    before = rows_read(service, table)
    look()
    return rows_read(service, table) - before


def hand_over():
    patterns = ["orchestrated", "orchestrated_messaging"]
    assert not OWNER.sagas.not_handed_over(patterns=patterns, limit=9, older_than_seconds=1)


SWEEPS = {
    "pagos_decision_due": (lambda: Overdue(service="pagos").sweep_once(), "pagos"),
    "pagos_decision_untold": (lambda: asked.untold(service="pagos", limit=9), "pagos"),
    "order_not_handed_over": (hand_over, "pedidos"),
}
"""By the index that each sweep uses: the sweep, and its table."""
TABLES = {"pagos": "pagos_decision", "pedidos": "pedidos_order"}


@pytest.mark.parametrize("index", SWEEPS)
def test_sweep_reads_none_of_those_that_wait(index):
    look, service = SWEEPS[index]
    assert read_by(look, service, TABLES[service]) == 0


@pytest.mark.parametrize("index", SWEEPS)
def test_control_without_its_index_it_reads_all_rows(index):
    look, service = SWEEPS[index]
    sql.execute(service=service, sql=f"DROP INDEX {index}")
    assert read_by(look, service, TABLES[service]) >= MANY
