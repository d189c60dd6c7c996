"""What one request finds out about the database is known to all slots of a web process."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError, connections
from django.test import Client

from httpapi import stale_connections

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def threads():
    """Web threads, each with a connection of its own."""
    made = [ThreadPoolExecutor(1) for _ in range(3)]
    yield made
    for one in made:
        one.submit(connections.close_all).result()
        one.shutdown()


def ask(thread):
    return thread.submit(lambda: Client().get("/api/products").status_code).result()


def cut_all():
    """As a restart of the database does."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_one_request_finds_out_for_all_threads(threads):
    assert [ask(one) for one in threads] == [200] * 3
    cut_all()
    assert [ask(one) for one in threads] == [503, 200, 200]
    assert [ask(one) for one in threads] == [200] * 3


def test_without_closing_each_thread_would_find_out_by_itself(threads, monkeypatch):
    """The control."""
    monkeypatch.setattr(stale_connections, "close", lambda: None)
    assert [ask(one) for one in threads] == [200] * 3
    cut_all()
    assert [ask(one) for one in threads] == [503] * 3


def test_lock_that_somebody_holds_makes_no_connection_stale(threads):
    (thread, *_) = threads
    ask(thread)
    before = thread.submit(lambda: connections[SERVICE].connection).result()
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable()
    stale_connections.mark(error=error)
    ask(thread)
    assert thread.submit(lambda: connections[SERVICE].connection).result() is before
