"""Signing keys and trusted keys: Ed25519 keys as JSON Web Keys (RFC 7517, RFC 8037).

A holder (a service, or the identity provider of the people) has a file of private keys; every
service has a file, or a URL, with the public keys of all holders. A holder may have two keys at
once: a new key is published first, and signs from its `from` on. Files are read again when they
change, so that keys are rotated without a restart.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from jwt.algorithms import OKPAlgorithm

ALGORITHM = "EdDSA"
USER, SERVICE = "user+jwt", "svc+jwt"
"""The `typ` of a token: neither is accepted as the other."""
ALL, PEOPLE = "dueto", "dueto-accounts"
"""The audience, and the issuer, of the tokens of people."""
SERVICE_SECONDS, KEPT_SECONDS = 60, 45
"""How long a service's token is valid, and how long it is used."""
LONGEST = {USER: 24 * 3600, SERVICE: 2 * SERVICE_SECONDS}
"""The longest validity of a token, in seconds."""
FILE_SECONDS, URL_SECONDS, UNKNOWN_SECONDS = 5.0, 300.0, 1.0
"""How often a file and a URL are read again, and either if a key is unknown."""
URL_WAIT = 3.0

Jwk = dict[str, Any]


class HolderKey(NamedTuple):
    """A key of `holder`, which signs since `begins` (seconds of the epoch)."""

    kid: str
    holder: str
    begins: float
    key: Any


def new(*, holder: str, begins: float = 0) -> Jwk:
    """A private key of this holder that signs from then on."""
    found: Jwk = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    kid = f"{holder}.{uuid.uuid4().hex[:8]}"
    return {**found, "kid": kid, "alg": ALGORITHM, "use": "sig", "holder": holder, "from": begins}


def public(private: Jwk) -> Jwk:
    """The public part of a key."""
    return {name: value for name, value in private.items() if name != "d"}


def write(path: Path, keys: Iterable[Jwk], *, mode: int = 0o600) -> None:
    """Replaces the file atomically: a concurrent reader gets the old keys or the new keys."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        json.dump({"keys": [*keys]}, file, indent=1)
    beside.replace(path)


def read(path: Path) -> list[Jwk]:
    """The keys of a file; none if it does not exist."""
    found: list[Jwk] = json.loads(path.read_text())["keys"] if path.exists() else []
    return found


class Ring:
    """The keys of a file or a URL, by `kid`. The last usable answer of a URL is kept."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._is_url = source.startswith(("http://", "https://"))
        self._lock = threading.Lock()
        self._keys: Mapping[str, HolderKey] = {}
        self._looked_at = -URL_SECONDS
        self._changed: float | None = None

    def find(self, kid: str) -> HolderKey | None:
        """The key; None if it is unknown."""
        known = self.known()
        if kid not in known:
            known = self.known(within=UNKNOWN_SECONDS)
        return known.get(kid)

    def known(self, *, within: float | None = None) -> Mapping[str, HolderKey]:
        """The keys, at most `within` seconds old."""
        if within is None:
            within = URL_SECONDS if self._is_url else FILE_SECONDS
        if time.monotonic() - self._looked_at < within:
            return self._keys
        with self._lock:
            if time.monotonic() - self._looked_at >= within:
                self._look()
                self._looked_at = time.monotonic()
        return self._keys

    def _look(self) -> None:
        if self._is_url:
            self._keys = _fetched(self.source) or self._keys
            return
        try:
            changed = Path(self.source).stat().st_mtime_ns
            if changed != self._changed:
                self._keys, self._changed = _by_kid(Path(self.source).read_bytes()), changed
        except (OSError, ValueError, KeyError, jwt.PyJWTError):
            if not self._keys:
                raise


def _fetched(url: str) -> Mapping[str, HolderKey]:
    """The keys of a URL; none if it does not answer now."""
    try:
        answer = urllib3.request("GET", url, timeout=URL_WAIT, retries=False)
        return _by_kid(answer.data) if answer.status == 200 else {}
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, jwt.PyJWTError):
        return {}


def _by_kid(body: bytes) -> Mapping[str, HolderKey]:
    return {
        found["kid"]: HolderKey(
            kid=found["kid"],
            holder=found.get("holder", PEOPLE),
            begins=float(found.get("from", 0)),
            key=jwt.PyJWK.from_dict(found, ALGORITHM).key,
        )
        for found in json.loads(body)["keys"]
    }


FOLDER, USUAL_FOLDER = "DUETO_KEYS", ".dueto/keys"
"""The variable that names the folder with the keys of all holders, and its default."""


def signer_of_people() -> "Signer | None":
    """A signer with the identity provider's key, if this machine has it: for commands."""
    path = Path(os.environ.get(FOLDER) or USUAL_FOLDER) / f"{PEOPLE}.json"
    return Signer(str(path)) if os.access(path, os.R_OK) else None


class Signer:
    """Signs with a holder's newest key whose time has come."""

    def __init__(self, source: str) -> None:
        self._ring = Ring(source)
        self._kept: dict[str, tuple[float, str]] = {}

    def sign(self, *, kind: str, seconds: float, **claims: Any) -> str:
        """A token that is valid for `seconds`. Raises LookupError if no key's time has come."""
        now = time.time()
        begun = [key for key in self._ring.known().values() if key.begins <= now]
        if not begun:
            raise LookupError(f"no key in {self._ring.source} signs yet")
        key = max(begun, key=lambda key: key.begins)
        times = {"iat": int(now), "exp": int(now + seconds), "jti": uuid.uuid4().hex}
        issuer = PEOPLE if kind == USER else key.holder
        return jwt.encode(
            {"iss": issuer, **times, **claims},
            key.key,
            algorithm=ALGORITHM,
            headers={"kid": key.kid, "typ": kind},
        )

    def for_person(
        self, sub: str, *, scopes: Iterable[str], seconds: float, merchant: str = "", via: str = ""
    ) -> str:
        """A token for a person with these scopes; `via`: what calls in their name."""
        optional = {"merchant": merchant, "via": via}
        return self.sign(
            kind=USER,
            seconds=seconds,
            aud=ALL,
            sub=sub,
            scope=" ".join(sorted(scopes)),
            **{name: value for name, value in optional.items() if value},
        )

    def for_service(self, callee: str) -> str:
        """The service's own token for another service, kept for KEPT_SECONDS."""
        until, token = self._kept.get(callee, (0.0, ""))
        if time.monotonic() >= until:
            token = self.sign(kind=SERVICE, seconds=SERVICE_SECONDS, aud=callee)
            self._kept[callee] = (time.monotonic() + KEPT_SECONDS, token)
        return token


def credentials(callee: str) -> dict[str, str]:
    """The header with which this process calls a service; none without a key of its own. Raises
    LookupError if the time of its key has not come.
    """
    own = signer() if callee else None
    return {"Authorization": f"Bearer {own.for_service(callee)}"} if own else {}


@cache
def signer() -> Signer | None:
    """The signer with this process's own key; None without a key."""
    source = str(getattr(settings, "SIGNING_KEY", ""))
    return Signer(source) if source else None
