"""`manage.py migrate_all`: brings the database of every service up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.management.sql import emit_post_migrate_signal
from django.db import OperationalError, connections, router
from django.db.migrations.executor import MigrationExecutor

from config.databases import ALIASES


class Command(BaseCommand):
    help = "Migrates the database of every service, one after the other; again: changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        applied = 0
        for alias in ALIASES:
            count = self._migrated(alias)
            applied += count
            done = f"{count} migrations applied" if count else "up to date"
            self.stdout.write(f"{alias}: {done}")
        if applied:
            # The dashboard keeps the permissions for everybody's tables.
            emit_post_migrate_signal(verbosity=0, interactive=False, db="default")

    def _migrated(self, alias: str) -> int:
        try:
            with _alone(alias):
                return _migrate(alias)
        except OperationalError as error:
            raise CommandError(
                f"The database of {alias} can't be used: {str(error).strip()}\n"
                f"Set {alias.upper()}_DATABASE_URL or DATABASE_URL to one that can."
            ) from error


@contextmanager
def _alone(alias: str) -> Iterator[None]:
    """Two of these commands at once take turns."""
    key = f"dueto migrate {alias}"
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [key])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [key])


def _migrate(alias: str) -> int:
    """App by app: services that share one database must not record each other's as applied."""
    executor = MigrationExecutor(connections[alias])
    labels = [one.label for one in apps.get_app_configs() if router.allow_migrate(alias, one.label)]
    nodes = executor.loader.graph.leaf_nodes()
    count = 0
    for label in labels:
        plan = executor.migration_plan([node for node in nodes if node[0] == label])
        if plan:
            call_command("migrate", label, database=alias, verbosity=0, interactive=False)
            executor = MigrationExecutor(connections[alias])
            count += len(plan)
    return count
