"""Whether this process may start as it is configured: without authentication it starts only if no
other machine can reach it; if others can, it needs authentication, and the keys to check it.

Each web process and each worker checks this at its start (`require_safe`).
"""

import logging
import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections

from contracts.nearness import host_of, is_near
from participant import databases, logins

log = logging.getLogger(__name__)

HOST, PLAINTEXT = "DUETO_HOST", "DUETO_PLAINTEXT_INSIDE"
_LOCAL = ("localhost", ".localhost")
_VERIFIED = "verify-full"


def require_safe() -> None:
    """Raises ImproperlyConfigured with each variable that is wrong, and what to do about it."""
    found = list(_open_demo() if _setting("AUTH") == "demo" else _unkept())
    if found:
        raise ImproperlyConfigured(" ".join(found))


def exceptions() -> dict[str, list[str]]:
    """The problems that were allowed at the start by a setting, as /health shows them."""
    found = list(_plaintext()) if _is_allowed() and _setting("AUTH") != "demo" else []
    return {"insecure": [f"{variable} is not encrypted" for variable in found]} if found else {}


def _open_demo() -> Iterator[str]:
    """Why other machines could reach this process, although it authenticates no caller."""
    for variable in (*_far(), *_beyond()):
        yield (
            f"{variable} is for more than this machine, and DUETO_AUTH=demo lets in every caller:"
            f" set DUETO_AUTH=required, or unset {variable}."
        )


def _beyond() -> Iterator[str]:
    if not all(_is_local_name(name) for name in settings.ALLOWED_HOSTS):
        yield "DUETO_ALLOWED_HOSTS"
    if _setting("CSRF_TRUSTED_ORIGINS"):
        yield "DUETO_TRUSTED_ORIGINS"
    if _setting("SECURE_PROXY_SSL_HEADER"):
        yield "DUETO_PROXY_TLS_HEADER"
    if _setting("USE_X_FORWARDED_HOST"):
        yield "DUETO_FORWARDED_HOST"


def _unkept() -> Iterator[str]:
    """What is missing for authentication."""
    needed = {
        "JWKS": "the public keys of the identity provider",
        "SERVICE_KEYS": "the public keys of all services",
    }
    if _setting("SERVICE"):
        needed["SIGNING_KEY"] = "the private keys of this service"
    for name, what in needed.items():
        if not _setting(name):
            yield (
                f"DUETO_{name} is not set: name the file with {what} (`manage.py keys missing`"
                " makes them), or set DUETO_AUTH=demo if only this machine can reach it."
            )
    if not _is_allowed():
        for variable in _plaintext():
            yield (
                f"{variable} leads to another machine without encryption: use amqps://, https://"
                f" and sslmode={_VERIFIED}, or set {PLAINTEXT}=1 if that network is private."
            )
    if any(_far()):
        yield from _mighty()


def _mighty() -> Iterator[str]:
    """The rights that this process's login should not have; none if its database is down: the
    process starts all the same then, and waits.
    """
    alias = settings.SERVICE if settings.SERVICE in settings.DATABASES else "default"
    try:
        found = logins.problems_of_login(aliases=[alias])
    except OperationalError as error:
        log.warning("the rights of the database's login could not be checked: %s", error)
        return
    finally:
        connections[alias].close()
    for problem in found:
        yield (
            f"{databases.variable_of(alias=alias)} (or {databases.SHARED}): {problem}: give the"
            " service a login of its own (`manage.py roles`)."
        )


def _is_allowed() -> bool:
    return os.environ.get(PLAINTEXT) == "1"


def _far() -> Iterator[str]:
    """The variables that name other machines, or let them in."""
    host = os.environ.get(HOST, "")
    if host and not is_near(host):
        yield HOST
    for variable, database in _databases():
        if not is_near(str(database["HOST"])):
            yield variable
    for variable, url in _urls():
        if not is_near(_host_of(url)):
            yield variable


def _plaintext() -> Iterator[str]:
    """The variables that lead to other machines without encryption."""
    for variable, database in _databases():
        mode = database.get("OPTIONS", {}).get("sslmode", "")
        if not is_near(str(database["HOST"])) and mode != _VERIFIED:
            yield variable
    for variable, url in _urls():
        is_plain = url.startswith(("amqp://", "http://"))
        is_database = url.startswith("postgres") and f"sslmode={_VERIFIED}" not in url
        if not is_near(_host_of(url)) and (is_plain or is_database):
            yield variable


def _databases() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The first database of each host, with its variable."""
    seen = set()
    for alias, database in settings.DATABASES.items():
        if database["HOST"] not in seen:
            seen.add(database["HOST"])
            yield f"{databases.variable_of(alias=alias)} (or {databases.SHARED})", database


def _urls() -> Iterator[tuple[str, str]]:
    """The URLs of the broker and of the services, with their variables."""
    is_rabbit = str(settings.BROKER_URL).startswith("amqp")
    yield "RABBITMQ_URL" if is_rabbit else "DUETO_BROKER_DATABASE_URL", settings.BROKER_URL
    for service, url in settings.SERVICE_URLS.items():
        yield address_of(service), url


def address_of(service: str) -> str:
    """What sets the address of another service: its variable, else its entry in SERVICE_URLS."""
    named: Mapping[str, str] = getattr(settings, "SERVICE_URL_VARIABLES", {})
    return named.get(service) or f"SERVICE_URLS[{service!r}]"


def _host_of(url: str) -> str:
    if url.startswith("postgres"):
        return str(databases.parse(url=url, variable="DUETO_BROKER_DATABASE_URL")["HOST"])
    return host_of(url)


def _is_local_name(name: str) -> bool:
    try:
        return name in _LOCAL or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _setting(name: str) -> Any:
    return getattr(settings, name, "")
