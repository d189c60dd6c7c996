"""Which database is whose: each service has its own, named by an environment variable."""

import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg import DataError

_SERVICE = os.environ.get("DUETO_SERVICE", "")
SERVICES = ("carrito", "inventario", "pagos", "saga_orchestrator", "saga_choreography")
ALIASES = ("default", *SERVICES)
"""`default` is the dashboard's own database: logins, sessions, the admin's log."""

_ALWAYS_BY_INDEX = " ".join(f"-c enable_{way}=off" for way in ("seqscan", "hashjoin", "mergejoin"))
"""A prepared plan is made while its table is small, and kept while it grows: one that scans the
table would go on scanning it. Without this the barrier's UPDATE took 19 ms after 3,000 checkouts
instead of 0.2 ms. Where there is no index to use, PostgreSQL scans all the same; it then takes
the plan for an expensive one, and must not compile it at each execution (12 ms instead of 0.02)."""

LOCK_SECONDS, STATEMENT_SECONDS, IDLE_IN_TRANSACTION_SECONDS = 1.0, 3.0, 4.0
"""Each below what a call of a step may take (5 s, contracts.sagas.Step): a service answers that
it is busy before its caller gives up (docs/limits.md)."""
ADMIN_STATEMENT_SECONDS = 15.0
"""In the dashboard, where a person waits for a page and no step does."""

_FALLBACK = "postgresql://dueto@127.0.0.1:5432/dueto"


def url_of(*, alias: str) -> str:
    """The URL of an alias: `<ALIAS>_DATABASE_URL`, else `DATABASE_URL`, else a local default."""
    shared = os.environ.get("DATABASE_URL") or _FALLBACK
    return os.environ.get(f"{alias.upper()}_DATABASE_URL") or shared


def limits(*, service: str) -> str:
    """The limits of each connection of a process of this service, as libpq's `options`.

    None for commands that belong to no service: a migration or an audit takes as long as it takes.
    """
    if not service:
        return ""
    statement = ADMIN_STATEMENT_SECONDS if service == "dashboard" else STATEMENT_SECONDS
    found = {
        "lock_timeout": LOCK_SECONDS,
        "statement_timeout": statement,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS,
    }
    return " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in found.items())


def parse(*, url: str) -> dict[str, Any]:
    """Django's settings for `postgresql://user:password@host:port/name?option=value`.

    `?host=` names a folder with a unix socket. Raises ImproperlyConfigured for any other scheme.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ImproperlyConfigured(
            f"A database URL starts with postgresql://, not with {parts.scheme}://: mend"
            " DATABASE_URL (or the one of a service) in the environment, or unset it."
        )
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "options": f"{_ALWAYS_BY_INDEX} {limits(service=_SERVICE)}".rstrip(),
            # Statements are few and repeated: they are prepared on first use.
            "prepare_threshold": 0,
            "server_side_binding": True,
            **options,
        },
    }


def all_databases() -> dict[str, dict[str, Any]]:
    """Django's DATABASES: one entry an alias; in tests each has a database of its own."""
    databases = {alias: parse(url=url_of(alias=alias)) for alias in ALIASES}
    for alias, database in databases.items():
        database["TEST"] = {"NAME": f"test_{database['NAME']}_{alias}", "DEPENDENCIES": []}
    return databases


EARLIEST, LATEST = (one.replace(tzinfo=UTC) for one in (datetime.min, datetime.max))


class ClampingTzLoader(BaseTzLoader):
    """Reads a timestamptz that Python can't hold (`infinity`, the year 20000, 44 BC) as the nearest
    one that it can: a time written by hand must not stop the loop that reads its row.
    """

    timezone = UTC

    def load(self, data: Any) -> datetime:
        try:
            found: datetime = super().load(data)
        except DataError:
            text = bytes(data)
            return EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else LATEST
        return found


@receiver(connection_created)
def clamp_times(connection: Any, **_: Any) -> None:
    """Every connection of Django's reads times so, from its first statement."""
    connection.connection.adapters.register_loader("timestamptz", ClampingTzLoader)
