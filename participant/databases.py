"""The databases: each service has its own, named by an environment variable, with its tables.
Everything else (the admin's logins, sessions and log) is in `default`.
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

_ALWAYS_BY_INDEX = {
    **{f"enable_{way}": "off" for way in ("seqscan", "hashjoin", "mergejoin")},
    "jit": "off",
}
"""A plan is prepared while its table is small, and kept while the table grows: a plan that scans
the table would still scan it then. Without this the barrier's UPDATE took 19 ms after 3,000
checkouts instead of 0.2 ms. Without a usable index PostgreSQL scans all the same, but before 18 it
estimates the plan as expensive, and jit compiled it at each execution (20 ms instead of 0.02)."""

_FOR_EACH = {"plan_cache_mode": "force_custom_plan"}
"""The dashboard searches for the beginning of an id, and a kept plan can't use an index for that:
from the sixth search on each read the whole table."""

LOCK_SECONDS, STATEMENT_SECONDS, IDLE_IN_TRANSACTION_SECONDS = 1.0, 3.0, 4.0
"""Each below the timeout of a step's call (5 s, contracts.saga.Step): a service answers that it is
busy before its caller gives up (docs/reference/limits.md)."""
ADMIN_STATEMENT_SECONDS = 15.0
"""In the dashboard, where a person waits for a page and no step waits."""

CONNECT_SECONDS, HOST_SECONDS = 5, 2
"""To connect; and for each host of a URL with several: a host that drops packets would cost two
minutes. Two seconds are the least that libpq can wait."""

LINE_SECONDS = 10
_LINE = {
    "tcp_user_timeout": LINE_SECONDS * 1000,
    "keepalives_idle": LINE_SECONDS // 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
"""A server that vanishes without closing its connections is noticed, by statements that wait for
an answer and by connections that listen."""

SHARED = "DATABASE_URL"
_HINTS = {"prepare_threshold": " (set DUETO_PREPARE_THRESHOLD)"}
_FALLBACK = "postgresql://dueto@127.0.0.1:5432/dueto"


def variable_of(*, alias: str) -> str:
    """The variable with the URL of this database."""
    return f"{alias.upper()}_DATABASE_URL"


def url_of(*, alias: str) -> tuple[str, str]:
    """The URL of an alias, and its variable: `<ALIAS>_DATABASE_URL`, else `DATABASE_URL`, else a
    local default."""
    for variable in (variable_of(alias=alias), SHARED):
        if url := os.environ.get(variable):
            return url, variable
    return _FALLBACK, SHARED


def planning(*, service: str) -> dict[str, str]:
    """PostgreSQL's planner settings for a process of this service, by name."""
    return _FOR_EACH if service == "dashboard" else _ALWAYS_BY_INDEX


def limits(*, service: str) -> dict[str, str]:
    """The limits of each connection of a process of this service, in milliseconds, by the name of
    the server's setting. None for commands of no service: migrations and audits may take long.
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
    """Django's settings for a URL in libpq's form: `postgresql://user:password@host:port/name`,
    with several hosts or a folder as the host, and `?option=value` (which are passed on). Of
    several hosts the writable one is used, unless the URL says otherwise.

    The URL's `options` are added to ours, and our limits stay. Raises ImproperlyConfigured, which
    names `variable` and contains nothing of a login.
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
    """The parts of a URL, by libpq's names. For several hosts, a primary and its standbys, with the
    options that find the primary: a standby would refuse every write.
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
        " postgresql://user:password@host:5432/name, with special characters percent-encoded (%40"
        " for an @ in the password): correct it in the environment, or unset it."
    )


def _prepare_threshold() -> int | None:
    """Statements are few and repeated: they are prepared on first use, unless a pool between us and
    the server (that pools transactions) can't support that."""
    text = os.environ.get("DUETO_PREPARE_THRESHOLD", "0")
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise ImproperlyConfigured(
            f"DUETO_PREPARE_THRESHOLD is {text!r}: it must be a whole number, or none"
        )
    return int(text)


def databases_of(*, services: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Django's DATABASES: one entry per service; in tests each has a database of its own."""
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
    """Reads a timestamptz that Python can't hold (`infinity`, the year 20000, 44 BC) as Python's
    nearest time: a time written by hand must not stop the loop that reads its row.
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
    """Registers the loader in every connection of Django's, before its first statement."""
    connection.connection.adapters.register_loader("timestamptz", ClampingTzLoader)
