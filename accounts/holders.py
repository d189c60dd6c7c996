"""A folder of keys: a private file for each holder, and the public keys of all.

public/people.json     read by every process (httpapi.keys.Ring), as are the revocations beside
public/services.json   them (httpapi.authentication.Revocations)
<holder>.json          read by its holder only (httpapi.keys.Signer)
"""

import fcntl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from catalogue.services import ALL
from httpapi import keys
from httpapi.keys import PEOPLE, Jwk

HOLDERS = (PEOPLE, *(service.name for service in ALL))
OF_PEOPLE, OF_SERVICES = "public/people.json", "public/services.json"
PUBLISHED_SECONDS = 600.0
"""How long a new key is public before it signs: processes read its URL every 5 minutes."""
PEOPLE_SECONDS = 900.0
"""How long a person's token lasts."""


class Holders:
    """The keys in one folder. All methods may be called while the shop runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keys_of(self, holder: str) -> list[Jwk]:
        """A holder's private keys, the newest last."""
        return sorted(keys.read(self._file(holder)), key=lambda key: float(key["from"]))

    def make_missing(self) -> list[str]:
        """Makes a key for each holder that has none; returns these holders."""
        with self._changing():
            given = [holder for holder in HOLDERS if not self.keys_of(holder)]
            for holder in given:
                keys.write(self._file(holder), [keys.new(holder=holder)])
            if given or not (self.folder / OF_PEOPLE).exists():
                self._publish()
        return given

    def renew(self, holders: Sequence[str], *, after: float = PUBLISHED_SECONDS) -> list[Jwk]:
        """Makes a further key for each holder, which signs after so many seconds; a first key at
        once.
        """
        with self._changing():
            made = []
            for holder in holders:
                known = self.keys_of(holder)
                begins = time.time() + after if known else 0.0
                made.append(keys.new(holder=holder, begins=begins))
                keys.write(self._file(holder), [*known, made[-1]])
            self._publish()
        return made

    def retire(self, holders: Sequence[str]) -> list[Jwk]:
        """Drops, and returns, the keys whose last token has expired."""
        with self._changing():
            dropped = []
            for holder in holders:
                old, kept = _sorted_out(self.keys_of(holder), lasting=lasting(holder))
                dropped += old
                if old:
                    keys.write(self._file(holder), kept)
            self._publish()
        return dropped

    def person(
        self,
        sub: str,
        *,
        scopes: Iterable[str],
        seconds: float = PEOPLE_SECONDS,
        merchant: str = "",
    ) -> str:
        """A token for this person. Raises FileNotFoundError without the people's key."""
        signer = self.signer(PEOPLE)
        return signer.for_person(sub, scopes=scopes, seconds=seconds, merchant=merchant)

    def signer(self, holder: str) -> keys.Signer:
        """Raises FileNotFoundError if the holder has no key."""
        path = self._file(holder)
        if not path.exists():
            raise FileNotFoundError(path)
        return keys.Signer(str(path))

    def _file(self, holder: str) -> Path:
        return self.folder / f"{holder}.json"

    def _publish(self) -> None:
        (self.folder / OF_PEOPLE).parent.mkdir(exist_ok=True)
        services = [key for holder in HOLDERS[1:] for key in self.keys_of(holder)]
        for name, private in ((OF_PEOPLE, self.keys_of(PEOPLE)), (OF_SERVICES, services)):
            keys.write(self.folder / name, map(keys.public, private), mode=0o644)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def lasting(holder: str) -> float:
    """The seconds that a holder's tokens last."""
    return PEOPLE_SECONDS if holder == PEOPLE else keys.SERVICE_SECONDS


def _sorted_out(known: Sequence[Jwk], *, lasting: float) -> tuple[list[Jwk], list[Jwk]]:
    """The keys whose tokens have all expired, and the others."""
    replaced_at = [float(later["from"]) for later in known[1:]] + [float("inf")]
    until = time.time() - lasting
    old = [key for key, at in zip(known, replaced_at, strict=True) if at < until]
    return old, [key for key in known if key not in old]
