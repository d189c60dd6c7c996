"""A rival's door and the checkout's SQL on real tables: the floor, which needs no environment of
its own.
"""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import urllib3
from psycopg import sql

from catalogue.services import ALL
from loadtests.rivals.beside import RowsSupplier, breaches, read_books
from loadtests.rivals.door import HOST, READY
from loadtests.rivals.saga import ACCEPT, STEPS, Checkout, take
from stack.backing import alias_of
from stack.ports import free_ports
from stack.services import database_environment

ROOT = Path(__file__).resolve().parents[3]
NAME = "dueto_test_rival"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A rival's database, with the tables of the shop's migrations."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    url = urlunsplit(parts._replace(path=f"/{NAME}"))
    name = sql.Identifier(NAME)
    with psycopg.connect(urlunsplit(parts), autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            urls = database_environment(urls={alias_of(service): url for service in ALL})
            subprocess.run(
                [sys.executable, "manage.py", "migrate_all"],
                cwd=ROOT,
                env={**os.environ, **urls},
                check=True,
                capture_output=True,
            )
            yield url
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def carts(database: str) -> list[str]:
    """Three, each with the same two products."""
    with contextlib.closing(RowsSupplier(database=database, run=uuid.uuid4().hex)) as supplier:
        products = supplier.products(count=2, quantity=100)
        return supplier.carts(contents=[products] * 3, users=["load-test"] * 3)


@pytest.fixture
def door(database: str) -> Iterator[str]:
    (port,) = free_ports(1)
    with subprocess.Popen(
        [sys.executable, "-m", "loadtests.rivals.door", "plain", str(port)],
        cwd=ROOT,
        env={**os.environ, "RIVAL_DATABASE_URL": database},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == READY
        try:
            yield f"http://{HOST}:{port}/checkout/saga"
        finally:
            process.kill()


def _body(cart_id: str) -> dict[str, object]:
    return {"cart_id": cart_id, "payment_method": "credit_card", "billing_address": {}}


def _grown(database: str, before: dict[str, int], accepted: list[str]) -> dict[str, int]:
    """The change of the books by this test's checkouts."""
    after = read_books(database=database, accepted=accepted)
    return {name: after[name] - (before[name] or 0) for name in after}


@pytest.fixture
def before(database: str) -> dict[str, int]:
    return read_books(database=database, accepted=[])


def test_checkouts_at_a_door_leave_books_that_add_up(
    database: str, before: dict[str, int], carts: list[str], door: str
) -> None:
    with urllib3.PoolManager() as pool:
        answers = [pool.request("POST", door, json=_body(cart)) for cart in carts]
        assert [answer.status for answer in answers] == [202] * 3
        accepted = [answer.json()["saga_id"] for answer in answers]
        assert pool.request("GET", door).json() == {"running": 0}
        unknown = pool.request("POST", door, json=_body("no-such-cart"))
    assert unknown.status == 500
    assert "no row for ['no-such-cart']" in unknown.json()["detail"]
    books = _grown(database, before, accepted)
    assert breaches(books=books) == []
    assert (books["completed"], books["sold"]) == (3, 6)
    lost = _grown(database, before, [*accepted, "one that was lost"])
    assert breaches(books=lost) == ["missing 1"]


@pytest.mark.parametrize("left_out", [name for name in STEPS if name != ACCEPT])
def test_step_that_is_left_out_shows_in_the_books(
    database: str, before: dict[str, int], carts: list[str], left_out: str
) -> None:
    saga_id = f"without {left_out}"
    checkout: Checkout = {**_body(carts[0]), "saga_id": saga_id}
    with psycopg.connect(database, autocommit=True) as connection:
        try:
            for step in STEPS:
                if step != left_out:
                    checkout = take(connection, step, checkout)
        except LookupError:
            assert left_out == "reserve_inventory"  # nothing is there to be sold
    assert breaches(books=_grown(database, before, [saga_id]))
