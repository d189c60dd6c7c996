"""Checkpoints between windows, on the real database."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo, sql

from loadtests.measuring.machine import make_checkpoint_if_due

ROLE = "dueto_test_no_checkpoints"


@pytest.fixture
def url() -> str:
    return os.environ["DATABASE_URL"]


@pytest.fixture
def url_of_one_who_may_not(url: str) -> Iterator[str]:
    """The URL of a role that is not a superuser, on the same server."""
    role = sql.Identifier(ROLE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'made-up'").format(role))
        try:
            yield conninfo.make_conninfo(url, user=ROLE, password="made-up")
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def _last_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT redo_lsn::text FROM pg_control_checkpoint()").fetchone()
    assert row
    return str(row[0])


def _leave_something_to_write(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE written AS SELECT generate_series(1, 1000)")


def test_checkpoint_that_is_due_is_made_before_the_window_begins(url: str) -> None:
    _leave_something_to_write(url)
    before = _last_of(url)
    assert make_checkpoint_if_due(database=url, most_seconds=0)
    assert _last_of(url) != before


def test_checkpoint_is_due_after_so_much_write_ahead_log(url: str) -> None:
    _leave_something_to_write(url)
    assert make_checkpoint_if_due(database=url, most_seconds=1e9, most_wal_bytes=1)


def test_checkpoint_that_is_not_due_is_not_made(url: str) -> None:
    assert not make_checkpoint_if_due(database=url, most_seconds=1e9, most_wal_bytes=2**60)


def test_login_that_may_make_no_checkpoint_goes_on_without(url_of_one_who_may_not: str) -> None:
    assert not make_checkpoint_if_due(database=url_of_one_who_may_not, most_seconds=0)
