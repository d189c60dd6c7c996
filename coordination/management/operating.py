"""Common parts of the operators' commands: they call the services over HTTP, as any client does, so
they need no database, and work wherever the services can be reached. They authenticate with a
token: from TOKEN, or made here for the named person, if the signing key can be read.
"""

import getpass
import os
import re
import sys
import time
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from contracts.bounds import MOST_ID
from contracts.doors import OPS_ACT, OPS_READ
from contracts.outcomes import Refused
from httpapi import keys
from participant import starting
from participant.in_bulk import BulkProgress

SECONDS = 10.0
TOKEN_SECONDS = 3600.0
"""Long, because a command may have thousands of sagas to act on."""
TELL_SECONDS = 1.0
"""Between two lines of progress."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Reply(NamedTuple):
    """A service's answer. `body`: with the code and detail of a refusal."""

    status: int
    body: Any

    @property
    def refusal(self) -> str:
        """The code of the refusal; empty if the request was done."""
        return "" if self.status < 400 else str(self.body.get("code", self.status))


def call(
    service: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
) -> Reply:
    """Calls a service. Raises CommandError if there is no answer, or no JSON."""
    if service not in settings.SERVICE_URLS:
        known = ", ".join(settings.SERVICE_URLS)
        raise CommandError(f"Unknown service {service!r}; this installation has {known}.")
    url = f"{settings.SERVICE_URLS[service]}{path}{'?' + urlencode(query) if query else ''}"
    more: dict[str, Any] = {} if body is None else {"json": body}
    headers = _credentials((body or query or {}).get("requested_by") or getpass.getuser())
    try:
        given = urllib3.request(
            method, url, headers=headers, timeout=SECONDS, retries=False, **more
        )
        return Reply(given.status, given.json())
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise CommandError(
            f"{service} does not answer at {url}: {error}\nIs it running? Its address is in"
            f" {starting.address_of(service)}; `manage.py status --env` prints the addresses of a"
            " stack that runs here."
        ) from error


TOKEN = "DUETO_TOKEN"  # noqa: S105 -- the name of a variable  # nosec B105


@cache
def _credentials(by: str) -> dict[str, str]:
    """The header with the caller's token; none without a signing key, as in the mode `demo`."""
    token = os.environ.get(TOKEN, "")
    signer = None if token else keys.signer_of_people()
    if signer:
        token = signer.for_person(
            by[:MOST_ID], scopes=(OPS_READ, OPS_ACT), seconds=TOKEN_SECONDS, via="command"
        )
    return {"Authorization": f"Bearer {token}"} if token else {}


def done(reply: Reply) -> Any:
    """The body. Raises CommandError with the detail of a refusal."""
    if reply.status >= 400:
        raise CommandError(f"{reply.body.get('detail', reply.body)} ({reply.refusal})")
    return reply.body


def listed(service: str, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All rows of a list, page by page."""
    reply = call(service, "GET", path, query=query)
    while True:
        page = done(reply)
        yield from page["results"]
        if not page["next"]:
            return
        there = urlsplit(page["next"])
        reply = call(service, "GET", f"{path}?{there.query}")


def quoted(part: str) -> str:
    """Quotes a segment of a path."""
    return quote(part, safe="")


def add_who_and_why(parser: CommandParser) -> None:
    """Adds `--reason` and `--by`, which are both stored."""
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why: it is stored and shown"
    )
    parser.add_argument(
        "--by", default=getpass.getuser(), metavar="NAME", help="who asks (default: your login)"
    )


def who_and_why(options: Mapping[str, Any]) -> dict[str, str]:
    """The arguments as fields of requests; with a TOKEN, only the token names the person."""
    named = {} if os.environ.get(TOKEN) else {"requested_by": options["by"]}
    return {**named, "reason": options["reason"]}


def age(text: str) -> timedelta:
    """`90s`, `10m`, `2h`, `1d`. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no time: 90s, 10m, 2h, 1d")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def ask_again(question: str, *, is_sure: bool) -> None:
    """Raises CommandError unless the person says yes."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Confirm with --yes.")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was done.")


def for_each(
    rows: Sequence[dict[str, Any]],
    act: Callable[[dict[str, Any]], Reply],
    *,
    did: str,
    say: Callable[[str], object],
) -> tuple[str, bool]:
    """Calls `act` for each row, one after the other, and reports progress each second. Returns a
    sentence on the results, and whether all were done.
    """
    progress = BulkProgress(total=len(rows), newest="")
    told_at = time.monotonic()
    for row in rows:
        reply = act(row)
        detail = str(reply.body.get("detail", "")) if reply.refusal else ""
        progress.count([Refused(reply.refusal, detail) if reply.refusal else None])
        if time.monotonic() - told_at >= TELL_SECONDS:
            told_at = time.monotonic()
            say(f"{progress.reached} of {progress.total}: {progress.told(did)}")
    return progress.told(did), not progress.refused


def counted(names: Collection[str]) -> str:
    """`9 at process_payment, 3 at reserve_inventory`."""
    most = Counter(names).most_common()
    return ", ".join(f"{number} at {name or 'no step'}" for name, number in most)
