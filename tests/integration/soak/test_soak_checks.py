"""The soak's own look at the tables: a shop that is right passes, and each damage is found."""

import pytest
from django.db import connections

from checker.soak.checks import breaches
from checker.soak.ledger import read_ledger
from config.databases import SERVICES
from tests.integration.audit.conftest import Shop

pytestmark = pytest.mark.django_db(databases=SERVICES)


@pytest.fixture
def shop():
    """A shop in which a saga has ended in each way."""
    made = Shop()
    made.completed("sold")
    made.completed("sold-too", pattern="choreographed")
    made.refused("refused")
    made.compensated("undone", pattern="choreographed")
    made.returned("returned")
    return made


@pytest.fixture
def told(shop):
    """What the shoppers were answered: their sagas."""
    sagas = ("sold", "sold-too", "refused", "undone", "returned")
    return {f"key of {saga}": [saga] for saga in sagas}


def read(service, statement):
    with connections[service].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def damage(service, statement):
    with connections[service].cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount != 0, f"no row of {service}: {statement}"


def found(told):
    return breaches(ledger=read_ledger(read=read), answers=told)


def test_shop_in_which_a_saga_ended_in_each_way_is_right(told):
    assert found(told) == []


DAMAGES = [
    (
        "carrito",
        "DELETE FROM carrito_order WHERE saga_id = 'sold'",
        "saga sold of 2500 is completed, and its orders are []",
    ),
    (
        "carrito",
        "UPDATE carrito_order SET status = 'confirmed', confirmed_at = now(), cancelled_at = NULL,"
        " cancelled_because = '' WHERE saga_id = 'returned'",
        "saga returned is compensated, and its orders are [('confirmed', 2500)]",
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET status = 'running', ended_at = NULL WHERE saga_id = 'refused'",
        "saga refused has not ended: running",
    ),
    (
        "carrito",
        "UPDATE carrito_idempotencykey SET key = 'nobody' WHERE saga_id = 'refused'",
        "1 checkouts are under key 'nobody', for which nobody asked",
    ),
    (
        "pagos",
        "DELETE FROM pagos_payment WHERE saga_id = 'sold'",
        "saga sold is completed, and 0 cents were kept, not 2500",
    ),
    (
        "pagos",
        "DELETE FROM pagos_refund WHERE saga_id = 'undone'",
        "saga undone is compensated, and 2500 cents were kept, not 0",
    ),
    (
        "pagos",
        "UPDATE pagos_payment SET saga_id = 'unheard of' WHERE saga_id = 'sold'",
        "there is a payment of saga unheard of, which nobody accepted",
    ),
    (
        "inventario",
        "UPDATE inventario_product SET available = available + 1, sold = sold - 1",
        "4 were bought",
    ),
    (
        "inventario",
        "UPDATE inventario_product SET available = available - 1, reserved = reserved + 1",
        "4 were bought",
    ),
]


@pytest.mark.parametrize(("service", "statement", "what"), DAMAGES)
def test_damage_is_found(told, service, statement, what):
    damage(service, statement)
    assert [one for one in found(told) if what in one], found(told)


def test_two_sagas_of_one_key_are_found(told):
    damage(  # without the database's own guard
        "carrito", "ALTER TABLE carrito_idempotencykey DROP CONSTRAINT key_once_a_user"
    )
    damage(
        "carrito",
        "UPDATE carrito_idempotencykey SET key = 'key of sold' WHERE saga_id = 'refused'",
    )
    assert "key key of sold has 2 sagas" in found(told)


def test_answer_that_no_table_has_is_found(told):
    told["key of lost"] = ["lost"]
    assert found(told) == [
        "the shopper under key key of lost was answered lost, which no table has"
    ]


def test_checkout_that_was_never_accepted_is_found(told):
    told["key of waiting"] = []
    assert found(told) == ["the checkout under key key of waiting was never accepted"]


def test_two_answers_for_one_key_are_found(told):
    told["key of sold"].append("other")
    assert found(told) == [
        "the shopper under key key of sold was given several answers: sold, other"
    ]


def test_saga_told_to_another_shopper_is_found(told):
    told["key of sold"], told["key of undone"] = told["key of undone"], told["key of sold"]
    assert (
        found(told)[0]
        == "saga undone was told under key key of sold, and is kept under key of undone"
    )
