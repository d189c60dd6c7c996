"""A row that stays locked (a transaction forgotten in psql): other sagas go on."""

import threading
import time
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connections, transaction

from catalogue.commands import Item, Reserve
from contracts.outcomes import Busy, Done
from inventario import operations
from inventario.models import Product
from participant import sql
from participant.executing import APART_SECONDS, execute, execute_apart
from tests.threads import InThread

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])


@pytest.fixture(autouse=True)
def _limits_of_a_service():
    """The time limits of participant.databases for a service's processes, for this thread."""
    with connections["inventario"].cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
    yield
    connections["inventario"].close()


@contextmanager
def forgotten(product: Product):
    """Within the block a transaction holds the product's row, and does nothing more."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using="inventario"):
            Product.objects.select_for_update().get(pk=product.pk)
            held.set()
            done.wait(30)

    thread = InThread(hold, service="inventario")
    assert held.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.result()


def wanted(*products: Product) -> list[Reserve]:
    return [
        Reserve(saga_id=f"saga-{number}", subject="c", items=[Item(str(product.pk), 1)])
        for number, product in enumerate(products)
    ]


def test_locked_row_holds_up_only_the_command_that_needs_it(product):
    locked, free = product(), product()
    commands = wanted(locked, free, locked, free)
    with forgotten(locked):
        outcomes = execute_apart(operation=operations.reserve, commands=commands)
    assert [type(outcome) for outcome in outcomes] == [Busy, Done, Busy, Done]
    free.refresh_from_db()
    assert (free.available, free.reserved) == (8, 2)


def test_busy_command_is_decided_when_it_is_asked_for_again(product):
    locked = product()
    with forgotten(locked):
        assert execute_apart(operation=operations.reserve, commands=wanted(locked)) == [
            Busy(sql.BUSY)
        ]
    (outcome,) = execute_apart(operation=operations.reserve, commands=wanted(locked))
    assert isinstance(outcome, Done)


def test_hundred_commands_that_wait_for_one_row_are_answered_in_time(product):
    """Their caller has not given up yet: the service stays responsive."""
    locked = product()
    with forgotten(locked):
        started = time.monotonic()
        outcomes = execute_apart(operation=operations.reserve, commands=wanted(*[locked] * 100))
    assert set(outcomes) == {Busy(sql.BUSY)}
    assert time.monotonic() - started < 0.3 + APART_SECONDS + 1


def test_control_tried_as_one_list_all_commands_wait_in_vain(product):
    locked, free = product(), product()
    with forgotten(locked), pytest.raises(OperationalError) as raised:
        execute(operation=operations.reserve, commands=wanted(locked, free))
    assert sql.is_busy(raised.value)
