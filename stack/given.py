"""Servers that the environment names: whether they answer, told without their logins."""

from urllib.parse import urlsplit

import psycopg

from contracts import rights
from stack import rabbitmq
from stack.console import StackError

_TIMEOUT = 5.0


def check_broker(variable: str, url: str) -> str:
    """What it is, in words. Raises StackError when it can't be used."""
    if variable == "RABBITMQ_URL" and urlsplit(url).username == rights.AUDIT:
        raise StackError(
            "RABBITMQ_URL and the databases' URLs are those of a stack that runs already"
            " (`status --env`): another one needs servers of its own. Do this in a shell"
            " without these variables."
        )
    try:
        return rabbitmq.check_login(url, timeout=_TIMEOUT)
    except (OSError, ValueError) as error:
        # Python's words for a wrong port are a part of the password where that has a slash.
        why = "it can't be read" if isinstance(error, ValueError) else error
        raise StackError(
            f"the RabbitMQ that {variable} names ({_without_login(url)}) can't be used: {why}."
            f" Start it, correct the URL, or unset {variable} to get a private one."
        ) from error


def check_database(variable: str, url: str) -> str:
    """The server's version. Raises StackError when it can't be used."""
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        raise StackError(f"{variable} must start with postgresql:// ({_without_login(url)})")
    try:
        with psycopg.connect(url, connect_timeout=int(_TIMEOUT)) as connection:
            version = connection.info.parameter_status("server_version") or "?"
    except psycopg.Error as error:
        raise StackError(
            f"the PostgreSQL that {variable} names ({_without_login(url)}) can't be used:"
            f" {_reason(error)}. Start it, correct the URL,"
            f" or unset {variable} to get an embedded one."
        ) from error
    return version.partition(" ")[0]


def _without_login(url: str) -> str:
    """The part of a URL that may be printed."""
    try:
        parts = urlsplit(url)
    except ValueError:  # several hosts, and one of them in brackets
        return f"{url.partition('://')[0]}://..."
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a slash, or the like
        return f"{parts.scheme}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reason(error: psycopg.Error) -> str:
    """In a line; of several hosts the last one's. Where it is the URL, it may quote the login."""
    if isinstance(error, psycopg.ProgrammingError):
        return "it can't be read"
    return str(error).strip().splitlines()[-1].strip("- ")
