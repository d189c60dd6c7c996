"""The database fails over to its standby under load: nothing is lost, no saga is parked, all of the
shop's processes find the new primary by themselves.
"""

import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from contracts.patterns import PATTERNS
from stack.local import LocalStack
from tests.checkout.shop import Shop
from tests.stack.buying import buying
from tests.waiting import eventually

AT_MOST = 30.0
"""Seconds in which no saga ends."""
LEFT_SECONDS = 10
"""Until no session uses the old primary any more."""


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with LocalStack(
        folder=tmp_path_factory.mktemp("failover"),
        fresh=True,
        free_ports=True,
        use_given=False,
        auth="demo",
        saga="checkout",
        standby=True,
        longest_pause=1.0,
    ) as stack:
        shop = Shop(stack)
        yield shop
        shop.audit()


@pytest.fixture
def servers(shop: Shop) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """The first primary, and its standby, for their superuser."""
    given: dict[str, Any] = conninfo_to_dict(shop.stack.superuser_urls["carrito"])
    places = zip(given["host"].split(","), given["port"].split(","), strict=True)
    first, second = (
        psycopg.connect(
            **{**given, "host": host, "port": port, "target_session_attrs": "any"}, autocommit=True
        )
        for host, port in places
    )
    yield first, second
    first.close()
    second.close()


def services(shop: Shop) -> dict[str, int]:
    return {name: pid for name, pid in shop.stack.processes.items() if "." in name}


def users_of(server: psycopg.Connection) -> list[tuple[Any, ...]]:
    """The other sessions that have run a statement lately, or listen. A new connection that
    runs no statement is not counted.
    """
    return server.execute(
        "SELECT usename, datname, query FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND query <> '' AND (query LIKE 'LISTEN%%'"
        "      OR state_change > clock_timestamp() - make_interval(secs => %s))",
        [LEFT_SECONDS],
    ).fetchall()


def fence(server: psycopg.Connection) -> None:
    """Makes the server read-only; it still answers."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    # What had begun to write before may end.
    (at,) = server.execute("SELECT clock_timestamp()").fetchone() or ()
    writing = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND xact_start < %s"
    )
    eventually(lambda: server.execute(writing, [at]).fetchone() == (0,), what="writers end")


@pytest.mark.timeout(600)
def test_killed_primary_loses_nothing(shop: Shop) -> None:
    before = services(shop)
    with buying(shop, patterns=list(PATTERNS), at_most=AT_MOST, what="primary killed") as shoppers:
        shop.stack.kill("postgres", signal.SIGKILL)
        shoppers.more_end(20)
    shop.stack.wait_ready()
    assert "postgres" not in shop.stack.processes
    assert services(shop) == before


@pytest.mark.timeout(600)
def test_killed_standby_keeps_commits_waiting_and_loses_nothing(shop: Shop) -> None:
    with buying(shop, patterns=list(PATTERNS), at_most=AT_MOST, what="standby killed") as shoppers:
        shop.stack.kill("postgres-standby", signal.SIGKILL)
        shoppers.more_end(20)


@pytest.mark.timeout(600)
def test_primary_that_only_reads_is_left(
    shop: Shop, servers: tuple[psycopg.Connection, psycopg.Connection]
) -> None:
    """The server answers: only 25006 shows that it is no primary any more."""
    old, new = servers
    before = services(shop)
    with buying(shop, patterns=list(PATTERNS), at_most=AT_MOST, what="primary fenced") as shoppers:
        fence(old)
        new.execute("SELECT pg_promote()")
        shoppers.more_end(20)
        with suppress(AssertionError):
            eventually(lambda: users_of(old) == [], seconds=3 * LEFT_SECONDS)
        assert users_of(old) == []
    assert services(shop) == before
