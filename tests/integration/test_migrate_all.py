"""`manage.py migrate_all` on databases that are up to date, and on one that does not exist."""

import io
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

from envios.models import Courier
from inventario.models import Product
from messaging.management.commands import migrate_all
from tests.integration.httpapi.conftest import database_url
from tests.waiting import eventually

ALIASES = list(settings.DATABASES)
pytestmark = pytest.mark.django_db(databases=ALIASES)
READ_SECONDS = 2 * migrate_all.LOCK_SECONDS


def widen(alias):
    """Stands for a migration, which needs an exclusive lock on the table."""
    with connections[alias].cursor() as cursor:
        cursor.execute("ALTER TABLE inventario_product ALTER available SET NOT NULL")
    return 1


@contextmanager
def migrating():
    """The command, in another thread; its output so far."""
    output = io.StringIO()

    def run():
        try:
            call_command("migrate_all", stdout=output)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield output.getvalue
    finally:
        thread.join(60)
    assert not thread.is_alive()


@contextmanager
def reading():
    """A reader of the table, again and again; the longest time of a read so far."""
    stop, times = threading.Event(), [0.0]
    started = [time.monotonic()]

    def run():
        with psycopg.connect(database_url("inventario"), autocommit=True) as session:
            while not stop.wait(0.02):
                started[0] = time.monotonic()
                session.execute("SELECT count(*) FROM inventario_product")
                times.append(time.monotonic() - started[0])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: max(*times, 0 if stop.is_set() else time.monotonic() - started[0])
    finally:
        stop.set()
        thread.join(60)


def test_database_of_every_service_is_listed_in_order(capsys):
    call_command("migrate_all")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{alias}: up to date" for alias in ALIASES]


def test_tables_of_another_version_are_refused():
    with connections["pagos"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('pagos', '0099_x', now())"
        )
    with pytest.raises(CommandError, match=r"pagos has tables of another version \(pagos.0099_x\)"):
        call_command("migrate_all", stdout=io.StringIO())


def test_sample_rows_are_those_of_the_services_that_are_named():
    call_command("migrate_all", "--seed", "inventario", "pagos", stdout=io.StringIO())
    assert (Product.objects.exists(), Courier.objects.exists()) == (True, False)
    call_command("migrate_all", "--seed", stdout=io.StringIO())
    assert Courier.objects.exists()


def test_models_need_no_migration_that_is_not_there(capsys):
    call_command("makemigrations", check=True, dry_run=True)
    assert "No changes" in capsys.readouterr().out


def test_unusable_database_is_named_with_what_to_set():
    url = "postgresql://nobody@127.0.0.1:1/no_such_database"
    ended = subprocess.run(
        [sys.executable, "manage.py", "migrate_all"],
        env={**os.environ, "DATABASE_URL": url, "DEFAULT_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "The database of default can't be used" in ended.stderr
    assert "DEFAULT_DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


class TestWhileALockIsHeld:
    """A forgotten session with a lock on a table that a migration has to change."""

    pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)

    @pytest.fixture
    def left_open(self, monkeypatch):
        """The session; `inventario` has one migration to come, which changes its table."""
        only = SimpleNamespace(DATABASES={"inventario": {}})
        monkeypatch.setattr(migrate_all, "settings", only)
        monkeypatch.setattr(migrate_all, "PAUSE_SECONDS", 0.1)
        monkeypatch.setattr(migrate_all, "_migrate", widen)
        with psycopg.connect(database_url("inventario"), application_name="left open") as session:
            session.execute("SELECT count(*) FROM inventario_product")
            yield session

    def test_readers_go_on_and_it_ends_once_the_lock_is_released(self, left_open):
        with migrating() as output, reading() as longest:
            eventually(lambda: "(left open, idle in transaction)" in output(), what="it is named")
            eventually(lambda: output().count("waits") > 1, what="it tries again")
            left_open.rollback()
            eventually(lambda: "1 migrations applied" in output(), what="it goes through")
            assert longest() < READ_SECONDS

    def test_without_the_limit_readers_wait_behind_it(self, left_open, monkeypatch):
        """The control."""
        monkeypatch.setattr(migrate_all, "LOCK_SECONDS", 0)  # which is no limit
        with migrating(), reading() as longest:
            eventually(lambda: longest() > READ_SECONDS, what="a reader waits")
            left_open.rollback()

    def test_it_gives_up_and_names_the_session_in_the_way(self, left_open, monkeypatch):
        monkeypatch.setattr(migrate_all, "LOCK_SECONDS", 0.1)
        monkeypatch.setattr(migrate_all, "GIVE_UP_SECONDS", 0.1)
        with pytest.raises(CommandError, match=r"not migrated.*left open"):
            call_command("migrate_all")

    def test_lock_of_its_own_that_a_stranger_holds_is_named_too(self, left_open, monkeypatch):
        monkeypatch.setattr(migrate_all, "LOCK_SECONDS", 0.1)
        monkeypatch.setattr(migrate_all, "GIVE_UP_SECONDS", 0.1)
        left_open.rollback()
        left_open.execute("SELECT pg_advisory_lock(hashtext('dueto migrate inventario'))")
        left_open.commit()
        with pytest.raises(CommandError, match=r"not migrated.*left open"):
            call_command("migrate_all")
