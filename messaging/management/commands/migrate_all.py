"""`manage.py migrate_all`: migrates the database of every service; adds sample rows on request."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.sql import emit_post_migrate_signal
from django.db import OperationalError, connections, router
from django.db.migrations.executor import MigrationExecutor

from participant import logins, roles, sql

LOCK_SECONDS = 2.0
"""While a migration waits for a table, all later transactions wait behind it, readers too."""
PAUSE_SECONDS = 5.0
GIVE_UP_SECONDS = 300.0


class Command(BaseCommand):
    help = "Migrates the database of every service, one after the other; idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--seed",
            nargs="*",
            metavar="SERVICE",
            help="then adds sample rows to these services, or all, by their commands seed_...",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        applied = 0
        asked = roles.wanted(databases=settings.DATABASES)
        if asked:
            self._make(asked, asked.before())
        for alias in settings.DATABASES:
            if asked:
                logins.become_owner(roles=asked, alias=alias)
            count = self._migrated(alias)
            applied += count
            done = f"{count} migrations applied" if count else "up to date"
            self.stdout.write(f"{alias}: {done}")
        if applied:
            # The dashboard keeps the permissions for the tables of all services.
            emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
        if asked:
            self._make(asked, asked.after())
            self.stdout.write(f"{len(asked.logins)} logins have their rights")
        for command in _seeds(options["seed"]):
            call_command(command, stdout=self.stdout)

    def _make(self, asked: roles.Roles, statements: Iterable[roles.Statement]) -> None:
        try:
            logins.run(roles=asked, statements=statements)
        except psycopg.Error as error:
            raise CommandError(
                f"The roles can't be made: {str(error).strip()}\n"
                f"Set {roles.SUPERUSER} to a login that may make roles and databases, or unset it."
            ) from error

    def _migrated(self, alias: str) -> int:
        try:
            with self._alone(alias):
                return int(self._patiently(alias, lambda: _migrate(alias)))
        except OperationalError as error:
            if sql.is_busy(error):
                raise CommandError(f"{alias}: not migrated; {_in_the_way(alias)}") from error
            raise CommandError(
                f"The database of {alias} can't be used: {str(error).strip()}\n"
                f"Set {alias.upper()}_DATABASE_URL or DATABASE_URL to one that can."
            ) from error

    @contextmanager
    def _alone(self, alias: str) -> Iterator[None]:
        """Serializes concurrent runs of this command."""
        key = f"dueto migrate {alias}"
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            take = "SELECT pg_advisory_lock(hashtext(%s))"
            self._patiently(alias, lambda: cursor.execute(take, [key]))
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [key])
                cursor.execute("RESET lock_timeout")

    def _patiently(self, alias: str, work: Callable[[], Any]) -> Any:
        """Retries while another session holds a needed lock, and reports which session."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return work()
            except OperationalError as error:
                if not sql.is_busy(error) or time.monotonic() > give_up_at:
                    raise
            self.stdout.write(f"{alias}: waits; {_in_the_way(alias)}")
            time.sleep(PAUSE_SECONDS)


def _seeds(names: Sequence[str] | None) -> list[str]:
    """The commands that add sample rows to these services; to all if none is named."""
    if names is None:
        return []
    found = get_commands().items()
    return sorted(
        command
        for command, app in found
        if command.startswith("seed_") and app in (names or settings.DATABASES)
    )


def _in_the_way(alias: str) -> str:
    """The sessions that may hold the lock, the oldest transaction first."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT session.pid, coalesce(nullif(application_name, ''), usename::text),
                   session.state, session.xact_start
            FROM pg_stat_activity AS session JOIN pg_locks AS held USING (pid)
            WHERE datname = current_database() AND session.pid <> pg_backend_pid() AND granted
              AND (held.relation >= 16384 OR held.locktype = 'advisory' AND held.objsubid = 1)
            ORDER BY session.xact_start LIMIT 3
            """
        )
        rows = cursor.fetchall()
    named = "; ".join(f"session {pid} ({who}, {state})" for pid, who, state, _ in rows)
    return f"a lock is held, perhaps by {named or 'a session that has ended'}: end that session"


def _migrate(alias: str) -> int:
    """Migrates app by app, so that services that share a database do not record the migrations of
    others as applied; the number of migrations.
    """
    executor = MigrationExecutor(connections[alias])
    labels = [
        config.label
        for config in apps.get_app_configs()
        if router.allow_migrate(alias, config.label)
    ]
    _refuse_another_history(alias, labels, executor)
    nodes = executor.loader.graph.leaf_nodes()
    count = 0
    for label in labels:
        plan = executor.migration_plan([node for node in nodes if node[0] == label])
        if plan:
            call_command("migrate", label, database=alias, verbosity=0, interactive=False)
            executor = MigrationExecutor(connections[alias])
            count += len(plan)
    return count


def _refuse_another_history(alias: str, labels: Sequence[str], executor: MigrationExecutor) -> None:
    """Raises CommandError if tables were made by migrations that do not exist here: by an earlier
    version, whose migrations were replaced (there is no release yet), or by a later one.
    """
    known = executor.loader.disk_migrations
    for label, name in sorted(executor.loader.applied_migrations):
        if label in labels and (label, name) not in known:
            raise CommandError(
                f"The database of {alias} has tables of another version ({label}.{name}), which"
                " this version can't migrate.\nUse the version that made them, or another database."
                " For the local stack: make down ARGUMENTS=--purge removes all of its data, and"
                " make up starts anew."
            )
