"""Whether a run's doors ask who comes: they need not where all of it stays on this machine."""

import os
from collections.abc import Iterator, Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from catalogue.services import ALL
from contracts.nearness import host_of, is_near
from stack.console import StackError

REQUIRED, DEMO = "required", "demo"
MODES = (DEMO, REQUIRED)
VARIABLE = "DUETO_AUTH"
_OF_A_PROXY = ("DUETO_TRUSTED_ORIGINS", "DUETO_PROXY_TLS_HEADER", "DUETO_FORWARDED_HOST")
_HOSTS = "DUETO_ALLOWED_HOSTS"


def mode(*, chosen: str, beyond: list[str]) -> str:
    """`chosen`, else what DUETO_AUTH says, else `demo` where nothing leads `beyond` this machine.

    Raises StackError for another word, and where `demo` would let in others.
    """
    wanted = chosen or os.environ.get(VARIABLE) or (REQUIRED if beyond else DEMO)
    if wanted not in MODES:
        raise StackError(f"{VARIABLE} is {wanted!r}: it may be {', '.join(MODES)}")
    if wanted == DEMO and beyond:
        raise StackError(
            f"in the mode demo nobody is asked who they are, and {beyond[0]} is for more than this"
            f" machine: set {VARIABLE}=required, or unset {beyond[0]}."
        )
    return wanted


def leading_beyond(*, host: str, given: Mapping[str, str]) -> list[str]:
    """The variables that make a run more than one machine's affair. `given`: which servers are."""
    return [*_leading_beyond(host, given)]


def _leading_beyond(host: str, given: Mapping[str, str]) -> Iterator[str]:
    if not is_near(host):
        yield "DUETO_HOST"
    brokers = [name for name in given if name.endswith("RABBITMQ_URL")]
    for name in dict.fromkeys([*(service.database_variable for service in ALL), *brokers]):
        if (url := given.get(name)) and not is_near(_host_of(url)):
            yield name
    named = os.environ.get(_HOSTS, "").split(",")
    if not all(is_near(name.removeprefix(".")) for name in named):
        yield _HOSTS
    yield from (name for name in _OF_A_PROXY if os.environ.get(name))


def _host_of(url: str) -> str:
    """Of one that can't be read, nothing: whoever uses it says so."""
    try:
        if url.startswith("postgres"):
            return str(conninfo_to_dict(url).get("host") or "")
        return host_of(url)
    except psycopg.ProgrammingError:
        return ""
