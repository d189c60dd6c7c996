"""What a test has committed is cleared away: of the tables, only those that hold anything.

Django truncates every table of each database that a test may use, and makes every permission anew:
with the databases of all services that takes half a second a test.
"""

from functools import cache

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase

MADE_BY_MIGRATING = (ContentType, Permission, Group, Group.permissions.through)


def install() -> None:
    """From now on `clear` follows every test that commits."""

    def set_up(self):
        for database in self._databases_names(include_mirrors=False):
            _as_migrated(database)

    def tear_down(self):
        for database in self._databases_names(include_mirrors=False):
            clear(database)

    TransactionTestCase._fixture_setup = classmethod(set_up)
    TransactionTestCase._fixture_teardown = tear_down


def clear(database: str) -> None:
    """Leaves the database as its migrations have made it."""
    migrated, others = _tables(database)
    if _rows(database, migrated) != _as_migrated(database):
        call_command("flush", database=database, interactive=False, verbosity=0)
        _as_migrated.cache_clear()  # its rows have other ids now
        return
    filled_tables = (f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in others)
    with connections[database].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(filled_tables))
        if filled := ", ".join(table for (table,) in cursor.fetchall()):
            cursor.execute(f"TRUNCATE {filled} CASCADE")


@cache
def _as_migrated(database: str) -> str:
    """First called before a test has committed anything."""
    return _rows(database, _tables(database)[0])


@cache
def _tables(database: str) -> tuple[list[str], list[str]]:
    """Those that migrations fill, and the others."""
    names = connections[database].introspection.django_table_names(only_existing=True)
    migrated = [model._meta.db_table for model in MADE_BY_MIGRATING]
    quoted = connections[database].ops.quote_name
    return (
        [quoted(name) for name in names if name in migrated],
        [quoted(name) for name in names if name not in migrated],
    )


def _rows(database: str, tables: list[str]) -> str:
    """A digest of the tables' rows."""
    texts = " UNION ALL ".join(f"SELECT row::text FROM {table} AS row" for table in tables)
    if not texts:
        return ""
    with connections[database].cursor() as cursor:
        cursor.execute(f"SELECT md5(string_agg(row, '' ORDER BY row)) FROM ({texts}) AS found")
        return cursor.fetchone()[0]
