"""What an operator's commands have alike: they ask the services over HTTP, as anybody may, so they
need no database, and work from wherever the services can be reached. Who asks is told by a token:
TOKEN, or one that is made here for who is named, where the key for that can be read.
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
from httpapi import keys
from participant import starting

SECONDS = 10.0
TOKEN_SECONDS = 3600.0
"""A command may have thousands of sagas to ask for."""
TELL_SECONDS = 1.0
"""Between two lines that say how far it has come."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Reply(NamedTuple):
    """What a service answers. `body`: with the code and detail of a refusal."""

    status: int
    body: Any

    @property
    def refusal(self) -> str:
        """Its code; empty where it was done."""
        return "" if self.status < 400 else str(self.body.get("code", self.status))


def call(
    service: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
) -> Reply:
    """Raises CommandError where there is no answer, or none that is ours."""
    if service not in settings.SERVICE_URLS:
        known = ", ".join(settings.SERVICE_URLS)
        raise CommandError(f"No service {service!r} is in this installation, but {known}.")
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
            f"{service} gives no answer at {url}: {error}\nIs it running? Its address is in"
            f" {starting.address_of(service)}; `manage.py status --env` prints that of a stack that"
            " runs here."
        ) from error


TOKEN = "DUETO_TOKEN"  # noqa: S105 -- the name of a variable  # nosec B105


@cache
def _credentials(by: str) -> dict[str, str]:
    """The header that says who asks; none where there is no key, as in the mode `demo`."""
    token = os.environ.get(TOKEN, "")
    signer = None if token else keys.signer_of_people()
    if signer:
        token = signer.for_person(
            by[:MOST_ID], scopes=(OPS_READ, OPS_ACT), seconds=TOKEN_SECONDS, via="command"
        )
    return {"Authorization": f"Bearer {token}"} if token else {}


def done(reply: Reply) -> Any:
    """The body. Raises CommandError with the reason where it was refused."""
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
    """A part of a path."""
    return quote(part, safe="")


def add_who_and_why(parser: CommandParser) -> None:
    """`--reason`, `--by`: who asks, and why; both are kept."""
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why: it is kept, and shown"
    )
    parser.add_argument(
        "--by", default=getpass.getuser(), metavar="NAME", help="who asks (default: your login)"
    )


def who_and_why(options: Mapping[str, Any]) -> dict[str, str]:
    """As the services take it; who asks is told by a token alone, where one is given."""
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
        raise CommandError(f"{question} Say so: --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was done.")


def for_each(
    rows: Sequence[dict[str, Any]],
    act: Callable[[dict[str, Any]], Reply],
    *,
    did: str,
    say: Callable[[str], object],
) -> tuple[str, bool]:
    """Does it to one after the other, each in a transaction of its own at its service, and says
    each second how far it has come. What came of it in a sentence, and whether all was done.
    """
    refused: Counter[str] = Counter()
    last = ""
    told_at = time.monotonic()
    for number, row in enumerate(rows, start=1):
        reply = act(row)
        if reply.refusal:
            refused[reply.refusal] += 1
            last = str(reply.body.get("detail", ""))
        if time.monotonic() - told_at >= TELL_SECONDS:
            told_at = time.monotonic()
            say(f"{number} of {len(rows)}: {summed(number, refused, did)}")
    told = summed(len(rows), refused, did)
    return (f"{told} {last}" if refused.total() == 1 else told), not refused


def summed(number: int, refused: Mapping[str, int], did: str) -> str:
    """`812 on their way, 13 refused: 9 already_undone, 4 past_pivot.`"""
    count = sum(refused.values())
    if not count:
        return f"{number} {did}."
    codes = sorted(refused.items(), key=lambda found: (-found[1], found[0]))
    why = ", ".join(f"{times} {code}" for code, times in codes)
    return f"{number - count} {did}, {count} refused: {why}."


def counted(names: Collection[str]) -> str:
    """`9 at process_payment, 3 at reserve_inventory`."""
    most = Counter(names).most_common()
    return ", ".join(f"{number} at {name or 'no step'}" for name, number in most)
