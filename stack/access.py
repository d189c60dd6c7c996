"""Whether a run needs authentication: not if it is reachable from this machine only."""

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
    """`chosen`, else DUETO_AUTH, else `demo` if nothing leads `beyond` this machine.

    Raises StackError for another word, and if `demo` would let in others.
    """
    wanted = chosen or os.environ.get(VARIABLE) or (REQUIRED if beyond else DEMO)
    if wanted not in MODES:
        raise StackError(f"{VARIABLE} is {wanted!r}: it may be {', '.join(MODES)}")
    if wanted == DEMO and beyond:
        raise StackError(
            f"the mode demo has no authentication, but {beyond[0]} involves other machines:"
            f" set {VARIABLE}=required, or unset {beyond[0]}."
        )
    return wanted


def leading_beyond(*, host: str, given: Mapping[str, str]) -> Iterator[str]:
    """The variables that involve other machines. `given`: those that name servers."""
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
    """Empty for a URL that can't be read, which its user reports."""
    try:
        if url.startswith("postgres"):
            return str(conninfo_to_dict(url).get("host") or "")
        return host_of(url)
    except psycopg.ProgrammingError:
        return ""
