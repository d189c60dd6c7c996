"""An error of the database in one request or loop makes all connections of the process stale."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connections
from django.test import Client

from messaging import wakeups
from participant import sql, stale_connections
from participant.stale_connections import StaleConnection

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def threads():
    """Web threads, each with a connection of its own."""
    made = [ThreadPoolExecutor(1) for _ in range(3)]
    yield made
    for thread in made:
        thread.submit(connections.close_all).result()
        thread.shutdown()
    connections[SERVICE].close()  # which was cut, too


def ask(thread):
    return thread.submit(lambda: Client().get("/api/products").status_code).result()


def sell(thread):
    """The status of a request that writes."""
    name = str(uuid.uuid4())
    body = {"name": name, "price": "1.00", "quantity": 1, "category": "t", "sku": name}
    send = Client().post
    return thread.submit(
        lambda: send("/api/products", body, content_type="application/json").status_code
    ).result()


@contextmanager
def operator() -> Iterator[psycopg.Connection]:
    """A separate connection that can always write."""
    known = connections[SERVICE].get_connection_params()
    login = {name: known[name] for name in ("host", "port", "user", "password") if name in known}
    with psycopg.connect(
        **login,
        dbname=known["dbname"],
        autocommit=True,
        options="-c default_transaction_read_only=off",
    ) as connection:
        yield connection


def make_read_only(operator: psycopg.Connection, *, is_on: bool) -> None:
    """Applies from the next session on, as with a fenced primary; open sessions stay unchanged."""
    name = operator.info.dbname
    what = (
        "SET default_transaction_read_only TO on"
        if is_on
        else "RESET default_transaction_read_only"
    )
    operator.execute(f'ALTER DATABASE "{name}" {what}')  # type: ignore[arg-type]


@pytest.fixture
def read_only(threads) -> None:
    """A database that was read-only for a while; the connections from then are kept."""
    with operator() as connection:
        assert [sell(thread) for thread in threads] == [201] * 3
        make_read_only(connection, is_on=True)
        connection.execute(CUT)
        try:
            assert {sell(thread) for thread in threads * 2} == {503}
        finally:
            make_read_only(connection, is_on=False)


@contextmanager
def column_widened() -> Iterator[None]:
    with operator() as connection:
        alter = "ALTER TABLE inventario_product ALTER COLUMN category TYPE "
        (was,) = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 'inventario_product'::regclass AND attname = 'category'"
        ).fetchone() or ("",)
        connection.execute(alter + "text")  # type: ignore[arg-type]
        try:
            yield
        finally:
            connection.execute(alter + was)  # type: ignore[arg-type]


CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def cut_all():
    """As a restart of the database does."""
    with operator() as connection:
        connection.execute(CUT)


def test_one_request_finds_out_for_all_threads(threads):
    assert [ask(thread) for thread in threads] == [200] * 3
    cut_all()
    assert [ask(thread) for thread in threads] == [503, 200, 200]
    assert [ask(thread) for thread in threads] == [200] * 3


def test_without_closing_each_thread_would_find_out_by_itself(threads, monkeypatch):
    """The control."""
    monkeypatch.setattr(stale_connections, "close", lambda: None)
    assert [ask(thread) for thread in threads] == [200] * 3
    cut_all()
    assert [ask(thread) for thread in threads] == [503] * 3


def test_lock_of_another_session_makes_no_connection_stale(threads):
    (thread, *_) = threads
    ask(thread)
    before = thread.submit(lambda: connections[SERVICE].connection).result()
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable()
    stale_connections.mark(error=error)
    ask(thread)
    assert thread.submit(lambda: connections[SERVICE].connection).result() is before


@pytest.mark.usefixtures("read_only")
def test_database_that_can_be_written_again_is_written_at_once(threads):
    assert [sell(thread) for thread in threads] == [201] * 3


def test_connections_from_a_read_only_time_would_refuse_for_ever(threads, monkeypatch, request):
    """The control: they answer a ping, so nothing else replaces them."""
    monkeypatch.setattr(stale_connections, "mark", lambda error: None)
    monkeypatch.setattr(stale_connections, "mark_read_only", lambda: None)
    request.getfixturevalue("read_only")
    assert [sell(thread) for thread in threads * 3] == [503] * 9


def look():
    return sql.execute(service=SERVICE, sql="SELECT 1")


def listen():
    return wakeups.notified(service=SERVICE, seconds=0.1)


def write_where_nothing_is_written():
    sql.execute(service=SERVICE, sql="SET default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="read-only"):
        sql.execute(service=SERVICE, sql="UPDATE inventario_product SET name = name")


@pytest.mark.parametrize("idle", [look, listen])
def test_loop_that_only_reads_or_listens_leaves_a_server_that_takes_no_writes(threads, idle):
    reader, writer, _ = threads
    reader.submit(look).result()
    writer.submit(write_where_nothing_is_written).result()
    with pytest.raises(StaleConnection):
        reader.submit(idle).result()
    reader.submit(connections.close_all).result()  # as loops do after any outage
    assert reader.submit(look).result() == [(1,)]


def test_loop_that_only_reads_would_stay_there(threads, monkeypatch):
    """The control."""
    monkeypatch.setattr(stale_connections, "mark_read_only", lambda: None)
    reader, writer, _ = threads
    reader.submit(look).result()
    writer.submit(write_where_nothing_is_written).result()
    assert reader.submit(look).result() == [(1,)]


def test_refused_connection_makes_no_younger_one_stale(threads):
    reader, writer, other = threads
    reader.submit(look).result()
    writer.submit(write_where_nothing_is_written).result()
    other.submit(look).result()
    with pytest.raises(StaleConnection) as refused:
        reader.submit(look).result()
    stale_connections.mark(error=refused.value)
    other.submit(stale_connections.close).result()
    before = other.submit(lambda: connections[SERVICE].connection).result()
    assert before is not None


def test_plans_from_before_a_migration_are_given_up_after_one_failure(threads):
    assert [ask(thread) for thread in threads * 2] == [200] * 6
    with column_widened():
        assert [ask(thread) for thread in threads * 2] == [503, *[200] * 5]


def test_plans_from_before_a_migration_would_fail_on_each_connection(threads, monkeypatch):
    """The control."""
    monkeypatch.setattr(stale_connections, "mark", lambda error: None)
    assert [ask(thread) for thread in threads * 2] == [200] * 6
    with column_widened():
        assert [ask(thread) for thread in threads].count(503) == 3
