"""Which database is whose: each service has its own, named by an environment variable.

Its tables live there; everything else (the admin's logins, sessions and log) in `default`.
"""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg import DataError
from psycopg.conninfo import conninfo_to_dict

_SERVICE = os.environ.get("DUETO_SERVICE", "")

_ALWAYS_BY_INDEX = {f"enable_{way}": "off" for way in ("seqscan", "hashjoin", "mergejoin")}
"""A prepared plan is made while its table is small, and kept while it grows: one that scans the
table would go on scanning it. Without this the barrier's UPDATE took 19 ms after 3,000 checkouts
instead of 0.2 ms. Where there is no index to use, PostgreSQL scans all the same; it then takes
the plan for an expensive one, and must not compile it at each execution (12 ms instead of 0.02)."""

_FOR_EACH = {"plan_cache_mode": "force_custom_plan"}
"""In the dashboard people look for the beginning of an id, which no kept plan can look up in an
index: from the sixth search on each read all rows there were."""

LOCK_SECONDS, STATEMENT_SECONDS, IDLE_IN_TRANSACTION_SECONDS = 1.0, 3.0, 4.0
"""Each below what a call of a step may take (5 s, contracts.saga.Step): a service answers that
it is busy before its caller gives up (docs/reference/limits.md)."""
ADMIN_STATEMENT_SECONDS = 15.0
"""In the dashboard, where a person waits for a page and no step does."""

CONNECT_SECONDS, HOST_SECONDS = 5, 2
"""To connect; and for each host, where a URL names several: one that swallows what it is sent would
cost two minutes. Two seconds are the least that libpq can wait."""

LINE_SECONDS = 10
_LINE = {
    "tcp_user_timeout": LINE_SECONDS * 1000,
    "keepalives_idle": LINE_SECONDS // 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
"""A server that is gone without a trace is noticed, by who waits for it and by who listens."""

SHARED = "DATABASE_URL"
_HINTS = {"prepare_threshold": " (set DUETO_PREPARE_THRESHOLD)"}
_FALLBACK = "postgresql://dueto@127.0.0.1:5432/dueto"


def variable_of(*, alias: str) -> str:
    """The variable that names its database."""
    return f"{alias.upper()}_DATABASE_URL"


def url_of(*, alias: str) -> tuple[str, str]:
    """The URL of an alias, and the variable that it is from: `<ALIAS>_DATABASE_URL`, else
    `DATABASE_URL`, else a local default."""
    for variable in (variable_of(alias=alias), SHARED):
        if url := os.environ.get(variable):
            return url, variable
    return _FALLBACK, SHARED


def planning(*, service: str) -> dict[str, str]:
    """How PostgreSQL plans for a process of this service: settings by name."""
    return _FOR_EACH if service == "dashboard" else _ALWAYS_BY_INDEX


def limits(*, service: str) -> dict[str, str]:
    """The limits of each connection of a process of this service, in milliseconds, by the names of
    the server's settings.

    None for commands that belong to no service: a migration or an audit takes as long as it takes.
    """
    if not service:
        return {}
    statement = ADMIN_STATEMENT_SECONDS if service == "dashboard" else STATEMENT_SECONDS
    found = {
        "lock_timeout": LOCK_SECONDS,
        "statement_timeout": statement,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS,
    }
    return {name: str(round(seconds * 1000)) for name, seconds in found.items()}


def parse(*, url: str, variable: str = SHARED) -> dict[str, Any]:
    """Django's settings for a URL as libpq reads it: `postgresql://user:password@host:port/name`,
    with several hosts or a folder as the host, and `?option=value` (which are passed on). Of
    several hosts that is meant which can be written to, unless the URL says otherwise.

    Its `options` are added to ours, and our limits stay. Raises ImproperlyConfigured, which names
    `variable` and tells nothing of a login.
    """
    found = with_several_hosts(_read(url, variable))
    given = found.pop("options", "")
    plans, ours = _options(planning(service=_SERVICE)), _options(limits(service=_SERVICE))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found.pop("dbname", ""),
        "USER": found.pop("user", ""),
        "PASSWORD": found.pop("password", ""),
        "HOST": found.pop("host", ""),
        "PORT": found.pop("port", ""),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "options": " ".join(filter(None, (plans, given, ours))),
            "prepare_threshold": _prepare_threshold(),
            "server_side_binding": True,
            "connect_timeout": CONNECT_SECONDS,
            **_LINE,
            **found,
        },
    }


def _options(settings: Mapping[str, str]) -> str:
    """As libpq's `options`."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def with_several_hosts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a URL, by libpq's names, with what has to be said where it names several hosts:
    a primary and its standbys. Anything else than the primary would take no write, for ever.
    """
    if "," not in str(found.get("host", "")):
        return dict(found)
    return {"target_session_attrs": "read-write", "connect_timeout": HOST_SECONDS, **found}


def _read(url: str, variable: str) -> dict[str, Any]:
    """The parts of a URL, by libpq's names."""
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        raise _wrong(variable, "it does not start with postgresql://")
    try:
        found = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        what = f"libpq has no option {unknown[1]!r}" if unknown else "it can't be read"
        raise _wrong(variable, f"{what}{_HINTS.get(unknown[1], '') if unknown else ''}") from None
    if "@" in str(found.get("host", "")):
        raise _wrong(variable, "it has more than one @")
    if not all(_is_port(number) for number in str(found.get("port", "")).split(",")):
        raise _wrong(variable, "its port is no number from 1 to 65535")
    if not found.get("dbname") and "service" not in found:
        raise _wrong(variable, "it names no database")
    return found


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 1 <= int(text) <= 65535)


def _wrong(variable: str, what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{variable} is no URL of a database: {what}. It looks like"
        " postgresql://user:password@host:5432/name, with %40 for an @ in the password, and the"
        " like: mend it in the environment, or unset it."
    )


def _prepare_threshold() -> int | None:
    """Statements are few and repeated: they are prepared on first use, unless something between us
    and the server (a pool of transactions) can't have that."""
    text = os.environ.get("DUETO_PREPARE_THRESHOLD", "0")
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise ImproperlyConfigured(
            f"DUETO_PREPARE_THRESHOLD is {text!r}: it must be a whole number, or none"
        )
    return int(text)


def databases_of(*, services: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Django's DATABASES: one entry a service; in tests each has a database of its own."""
    urls = {alias: url_of(alias=alias) for alias in ("default", *services)}
    databases = {
        alias: parse(url=url, variable=variable) for alias, (url, variable) in urls.items()
    }
    for alias, database in databases.items():
        database["TEST"] = {"NAME": f"test_{database['NAME']}_{alias}", "DEPENDENCIES": []}
    return databases


class ServiceRouter:
    """Sends an app's models to the alias of the same name, and allows no relation across two."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def allow_relation(self, first: Any, other: Any, **hints: Any) -> bool:
        return _alias(first._meta.app_label) == _alias(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == _alias(app_label)


def _alias(app_label: str) -> str:
    return app_label if app_label in settings.DATABASES else "default"


EARLIEST, LATEST = (end.replace(tzinfo=UTC) for end in (datetime.min, datetime.max))


class ClampingTzLoader(BaseTzLoader):  # type: ignore[misc]  # Django's has no types
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
