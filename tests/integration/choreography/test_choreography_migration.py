"""Sagas that were tracked when every one was a checkout are still read, shown and undone."""

import json

import pytest
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor

from participant import sql
from saga_choreography import operations, queries, store
from saga_choreography.models import Action, Saga
from tests.unit.choreography.made import NOON

DATABASE = "saga_choreography"
pytestmark = pytest.mark.django_db(databases=[DATABASE], transaction=True)

FLAT = {
    "saga_id": "old",
    "cart_id": "c",
    "user_id": "ana",
    "items": [{"product_id": "1", "quantity": 2, "unit_price": "12.50"}],
    "total_amount": "25.00",
    "payment_method": "credit_card",
    "saga_pattern": "choreographed",
    "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
}


def migrate(name: str | None = None) -> None:
    """To the newest without a name: the tests that follow share the database."""
    executor = MigrationExecutor(connections[DATABASE])
    executor.migrate([(DATABASE, name)] if name else executor.loader.graph.leaf_nodes(DATABASE))


@pytest.fixture
def old():
    """What was stored of a checkout, and of one that somebody had typed over."""
    migrate("0005_money")
    try:
        for saga_id, context in (("old", FLAT), ("damaged", [])):
            sql.execute(
                service=DATABASE,
                sql="""
                    INSERT INTO saga_choreography_saga (saga_id, cart_id, total_amount, context,
                                                        status, stage, started_at)
                    VALUES (%s, 'c', 25, %s, 'running', 0, %s)
                    """,
                values=[saga_id, json.dumps(context), NOON],
            )
    finally:
        migrate()


def test_context_of_an_old_checkout_is_read(old):
    row = Saga.objects.get(pk="old")
    found = store.lock_watched(saga_ids=["old"])[0].context
    assert (found.saga, found.pattern, found.subject) == ("checkout", "choreographed", "c")
    assert found.traceparent == FLAT["traceparent"]
    assert found.data == {
        "items": [{"product_id": "1", "quantity": 2}],
        "total_amount": "25.00",
        "payment_method": "credit_card",
    }
    assert queries.state(found=row).total_amount == "25.00"


def test_old_row_that_somebody_had_typed_over_can_still_be_undone(old):
    with transaction.atomic(using=DATABASE):
        asked = operations.compensate(saga_id="damaged", requested_by="eva", reason="", now=NOON)
    assert asked is Action.RETURN
