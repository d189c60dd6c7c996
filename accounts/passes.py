"""The headers of tools: tokens of a person or a service, signed with the keys of a folder. They are
empty for a stack that does not authenticate.
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
"""Seconds that a person's token lasts: longer than any tool runs."""

OF_PEOPLE = "DUETO_ACCOUNTS_KEY"

Headers = dict[str, str]


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


class Passes:
    """The headers for one stack."""

    def __init__(self, folder: Path | None, *, key: str = "") -> None:
        """`folder`: with the keys that the stack trusts; None: it does not authenticate. `key`:
        only the file of the people's key, instead of a folder.
        """
        self._holders = Holders(folder) if folder else None
        self._people = Signer(key) if key else None
        self._kept: dict[tuple[str, ...], tuple[float, Headers]] = {}

    def person(self, sub: str, *scopes: Scope, merchant: str = "") -> Headers:
        """A person's, with these scopes (default: a shopper's). Raises FileNotFoundError without a
        key.
        """
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
        """A service's, for a call to another. Raises FileNotFoundError without a key."""
        return bearer(self._holders.signer(name).for_service(to)) if self._holders else {}


def found_in(usual: Path) -> Passes:
    """Signed with the key DUETO_ACCOUNTS_KEY, or those of the folder DUETO_KEYS, or of `usual`;
    empty headers without a key.
    """
    if key := os.environ.get(OF_PEOPLE):
        return Passes(None, key=key)
    folder = Path(os.environ.get(FOLDER) or usual)
    return Passes(folder if Holders(folder).keys_of(PEOPLE) else None)


def of(environment: Mapping[str, str]) -> Passes:
    """For the stack with this environment."""
    is_asked = environment.get("DUETO_AUTH") == "required" and environment.get(FOLDER)
    return Passes(Path(environment[FOLDER]) if is_asked else None)
