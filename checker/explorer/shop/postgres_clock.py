"""The explorer's clock in PostgreSQL: `now()` and `clock_timestamp()` show it in our connections.

They are functions of a schema that our connections look into before PostgreSQL's own; the columns
that note when a row was made take them too, in the meantime. Between two settings the clock goes
on a thousandfold slower than the real one: statements keep their order, and a busy machine makes
nothing due.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connections

from checker.explorer.shop.scenarios import SERVICES

_MADE = """
    CREATE SCHEMA explorer;
    CREATE FUNCTION explorer.shown(moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN current_setting('explorer.now')::timestamptz
           + (moment - current_setting('explorer.set_at')::timestamptz) / 1000;
    CREATE FUNCTION explorer.now() RETURNS timestamptz LANGUAGE sql STABLE
    RETURN explorer.shown(pg_catalog.now());
    CREATE FUNCTION explorer.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN explorer.shown(pg_catalog.clock_timestamp());
"""
_OWN, _THEIRS = "explorer.clock_timestamp()", "statement_timestamp()"
_DEFAULTS = """
    FOR made IN SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_default = '{before}'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER %I SET DEFAULT {after}', made.table_name,
                       made.column_name);
    END LOOP;
"""
_SHOWN = """
    SELECT set_config('search_path', 'explorer, pg_catalog, public', false),
           set_config('explorer.now', %s, false),
           set_config('explorer.set_at', pg_catalog.clock_timestamp()::text, false)
"""


@contextmanager
def installed() -> Iterator[None]:
    """Within the block the databases of all services have it, once it is shown."""
    for service in SERVICES:
        _do(service, _MADE + _DEFAULTS.format(before=_THEIRS, after=_OWN))
    try:
        yield
    finally:
        for service in SERVICES:
            _execute(service, "RESET search_path")
            _do(
                service,
                _DEFAULTS.format(before=_OWN, after=_THEIRS) + "DROP SCHEMA explorer CASCADE;",
            )


def show(*, now: datetime) -> None:
    """From now on it is this time."""
    for service in SERVICES:
        _execute(service, _SHOWN, [now.isoformat()])


def _do(service: str, statements: str) -> None:
    _execute(service, f"DO $$ DECLARE made record; BEGIN {statements} END $$")


def _execute(service: str, statement: str, values: list[str] | None = None) -> None:
    with connections[service].cursor() as cursor:
        cursor.execute(statement, values)
