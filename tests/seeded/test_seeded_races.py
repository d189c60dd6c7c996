"""Dueto's checkers find the bugs that need two workers at the same moment."""

import pytest
from django.db import connections

from catalogue.services import WITH_DATABASE
from messaging.brokers.memory import forget
from tests.seeded.bugs import RACES
from tests.seeded.shop import Shop

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=WITH_DATABASE),
    pytest.mark.undocumented,
]

CONSTRAINT = "product_stock_not_negative"
TABLES = ["inventario_product", "inventario_reservation", "inventario_reservationline"]


@pytest.fixture(autouse=True)
def _in_a_hurry(settings):
    settings.RESERVATION_SECONDS = 0
    yield
    forget("seeded")


@pytest.fixture
def _constraint_comes_back():
    """Nothing is rolled back here: a dropped constraint would stay dropped."""
    definition = _ask(
        f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{CONSTRAINT}'"
    )
    yield
    _ask(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    _ask(f"ALTER TABLE {TABLES[0]} DROP CONSTRAINT IF EXISTS {CONSTRAINT}")
    _ask(f"ALTER TABLE {TABLES[0]} ADD CONSTRAINT {CONSTRAINT} {definition[0][0]}")


def findings(scenario, monkeypatch) -> list[str]:
    shop = Shop(monkeypatch)
    scenario(shop)
    return shop.audit()


@pytest.mark.parametrize("name", RACES)
def test_nothing_is_found_without_a_bug(name, monkeypatch):
    assert findings(RACES[name].scenario, monkeypatch) == []


@pytest.mark.usefixtures("_constraint_comes_back")
@pytest.mark.parametrize("name", RACES)
def test_bug_is_found(name, monkeypatch):
    bug = RACES[name]
    bug.put_in(monkeypatch)
    found = findings(bug.scenario, monkeypatch)
    assert any(finding.startswith(bug.found_as) for finding in found), found


def _ask(statement: str) -> list[tuple]:
    with connections["inventario"].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
