"""With what tools ask: headers in the name of a person or of a service, signed with the keys of a
folder, without asking anybody. They are none where nobody asks who comes.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from accounts.holders import Holders
from contracts.doors import SHOP, Scope
from httpapi.keys import FOLDER, PEOPLE, Signer

LASTS = 24 * 3600.0
"""Seconds that a person's token lasts: longer than what shows it."""

OF_PEOPLE = "DUETO_ACCOUNTS_KEY"

Headers = dict[str, str]


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


class Passes:
    """Of one stack."""

    def __init__(self, folder: Path | None, *, key: str = "") -> None:
        """`folder`: with the keys that the stack believes; None: it asks nobody who they are.
        `key`: the file of the people's alone, where there is no more.
        """
        self._holders = Holders(folder) if folder else None
        self._people = Signer(key) if key else None
        self._kept: dict[tuple[str, ...], tuple[float, Headers]] = {}

    def person(self, sub: str, *scopes: Scope, merchant: str = "") -> Headers:
        """With these scopes; without any, of a shopper. Raises FileNotFoundError: no key."""
        chosen = scopes or (SHOP,)
        if self._holders is None and self._people is None:
            return {}
        until, found = self._kept.get((sub, merchant, *chosen), (0.0, {}))
        if time.monotonic() > until:
            signer = self._people or cast(Holders, self._holders).signer(PEOPLE)
            token = signer.for_person(sub, scopes=chosen, seconds=LASTS, merchant=merchant)
            found = bearer(token)
            self._kept[sub, merchant, *chosen] = (time.monotonic() + LASTS / 2, found)
        return found

    def service(self, name: str, *, to: str) -> Headers:
        """Of a service that calls another one, for a minute. Raises FileNotFoundError: no key."""
        return bearer(self._holders.signer(name).for_service(to)) if self._holders else {}


def found_in(usual: Path) -> Passes:
    """By the key in DUETO_ACCOUNTS_KEY, or those in DUETO_KEYS, else in this folder; where there is
    none, whoever comes shows nothing.
    """
    if key := os.environ.get(OF_PEOPLE):
        return Passes(None, key=key)
    folder = Path(os.environ.get(FOLDER) or usual)
    return Passes(folder if Holders(folder).keys_of(PEOPLE) else None)


def of(environment: Mapping[str, str]) -> Passes:
    """For the stack whose environment this is."""
    is_asked = environment.get("DUETO_AUTH") == "required" and environment.get(FOLDER)
    return Passes(Path(environment[FOLDER]) if is_asked else None)
