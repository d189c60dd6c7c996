"""Authentication and authorization, in one place, before any view, the same for every door. Views
find the principal with their request (`httpapi.identity`).

A person sends a token of the identity provider (`keys.PEOPLE`), which all services accept; a
service sends a token that it has signed itself, for the service that it calls. Both last minutes or
less, and are verified once: after that they are looked up. Each door declares who may call it
(contracts.doors).

In the mode `demo` (DUETO_AUTH), a request from this machine without a token may do everything,
unless a foreign web page makes a browser send it, or it came through a proxy.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import ip_address
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jwt
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from contracts import bounds
from contracts.doors import SHOP, Declared
from httpapi import keys, rates
from httpapi.identity import DEMO, EVERYBODY, NOBODY, Principal
from httpapi.problems import Problem

log = logging.getLogger(__name__)

LONGEST, MOST_REMEMBERED = 2048, 4096
"""Characters of a token; and how many verified tokens are remembered."""
MOST_VIA = 16
LEEWAY = 5
"""Seconds by which clocks may differ."""
_NEEDED = {
    keys.USER: ["exp", "iat", "iss", "aud", "sub"],
    keys.SERVICE: ["exp", "iat", "iss", "aud"],
}
_PROXIED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP")
_PROXIED_PREFIX = "HTTP_X_FORWARDED"


def presented(request: HttpRequest, declared: Declared) -> str | Principal:
    """The token of a request, unread; or the principal of a request without one. Raises Problem:
    401 if a token is needed, 400 if there are two.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is not None:
        return _token_in(header)
    if _setting("AUTH") == DEMO and _is_at_home(request):
        return EVERYBODY
    if declared.is_public:
        return NOBODY
    raise unauthenticated("A token is needed: send Authorization: Bearer ...", sent=False)


def admit(request: HttpRequest, declared: Declared, shown: str | Principal) -> None:
    """Authorizes a request, and stores its principal with it. Raises Problem: 401 for an invalid
    token, 403 if the principal may not call this door, 429 if a person sends too many requests.
    """
    principal = _principal(shown) if isinstance(shown, str) else shown
    is_limited = False
    if not declared.is_public and not principal.is_demo:
        if principal.service:
            is_allowed = principal.service in declared.callers
        else:
            is_allowed = bool(declared.scopes & principal.scopes)
            is_limited = not declared.scopes & principal.scopes - {SHOP}
        if not is_allowed:
            raise _forbidden(declared, principal)
    if principal.sub and not principal.service and not principal.is_demo:
        rates.take(principal.sub)
    request.principal = principal  # type: ignore[attr-defined] # as Django's own middleware does
    request.owner = principal.sub if is_limited else None  # type: ignore[attr-defined] # the same


_remembered: dict[str, tuple[float, Principal]] = {}
verified = 0
"""The number of tokens that this process has verified, far below its number of requests."""


def _principal(token: str) -> Principal:
    """The principal of a token. Raises Problem (401)."""
    now = time.time()
    if _revocations().have_changed() or _have_keys_changed():
        _remembered.clear()
    until, found = _remembered.get(token, (0.0, NOBODY))
    if now < until:
        return found
    until, found = _verified(token)
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    _remembered[token] = until, found
    return found


_keys_looked_at = 0.0
_keys_known: Sequence[Mapping[str, keys.HolderKey]] = ()


def _have_keys_changed() -> bool:
    """Whether keys have changed since the last check: tokens of a removed key are invalid then."""
    global _keys_looked_at, _keys_known
    if time.monotonic() - _keys_looked_at < keys.FILE_SECONDS:
        return False
    _keys_looked_at = time.monotonic()
    before = _keys_known
    try:
        _keys_known = [_ring(kind).known() for kind in _NEEDED if _source(kind)]
    except (OSError, ValueError, KeyError, jwt.PyJWTError):
        _keys_known = []  # no keys can be read: no token is valid
    return any(was is not now for was, now in zip_longest(before, _keys_known))


def _verified(token: str) -> tuple[float, Principal]:
    global verified
    verified += 1
    try:
        header = jwt.get_unverified_header(token)
        kind = header.get("typ")
        key = _ring(kind).find(header["kid"])
        if key is None:
            raise jwt.InvalidKeyError(f"unknown key {header['kid']}")
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[keys.ALGORITHM],
            audience=keys.ALL if kind == keys.USER else _own_names(),
            issuer=keys.PEOPLE if kind == keys.USER else key.holder,
            leeway=LEEWAY,
            options={"require": _NEEDED[kind]},
        )
        if claims["exp"] - claims["iat"] > keys.LONGEST[kind]:
            raise _LastsTooLong
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, FileNotFoundError) as error:
        raise unauthenticated(f"The token is invalid: {_why(error)}.") from error
    found = _principal_of(kind, key, claims)
    if _revocations().name(found):
        raise unauthenticated("The token was revoked.")
    return float(claims["exp"]) + LEEWAY, found


def _principal_of(kind: str, key: keys.HolderKey, claims: Mapping[str, Any]) -> Principal:
    jti = str(claims.get("jti", ""))
    if kind == keys.SERVICE:
        return Principal(sub=key.holder, service=key.holder, jti=jti)
    sub = str(claims["sub"])
    if not bounds.is_id(sub):
        limit = f"1 to {bounds.MOST_ID} characters: {bounds.IDS_CHARACTERS}"
        raise unauthenticated(f"The token's sub has {limit}.")
    return Principal(
        sub=sub,
        scopes=frozenset(str(claims.get("scope", "")).split()),
        merchant=str(claims.get("merchant", "")),
        jti=jti,
        via=str(claims.get("via", "api"))[:MOST_VIA],
    )


class _LastsTooLong(jwt.InvalidTokenError):
    pass


_WHY: Sequence[tuple[type[Exception], str]] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidIssuedAtError, "it was issued in the future"),
    (jwt.InvalidAudienceError, "it is for another service"),
    (_LastsTooLong, "it is valid for longer than allowed"),
    (jwt.InvalidIssuerError, "its key is not its issuer's"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
    (jwt.InvalidAlgorithmError, f"it is not signed with {keys.ALGORITHM}"),
    (jwt.InvalidKeyError, "its key is unknown"),
    (jwt.MissingRequiredClaimError, "it lacks a claim"),
    (FileNotFoundError, "this service has no keys yet"),
    (KeyError, "its header lacks a field, or its type is unknown"),
)


def _why(error: Exception) -> str:
    """The reason for the caller; the library's text goes into the log."""
    log.info("an invalid token: %r", error)
    return next((why for kind, why in _WHY if isinstance(error, kind)), "it can't be read")


def _own_names() -> Sequence[str]:
    """The names, as audiences of tokens, of the services in this process."""
    return [settings.SERVICE] if settings.SERVICE else list(settings.SERVICE_URLS)


def _source(kind: str) -> str:
    return _setting({keys.USER: "JWKS", keys.SERVICE: "SERVICE_KEYS"}[kind])


@cache
def _ring(kind: str) -> keys.Ring:
    """The keys for a kind of token. Raises KeyError for an unknown kind, ValueError if this service
    has no keys for it.
    """
    source = _source(kind)
    if not source:
        raise ValueError(f"no keys for {kind} here")
    return keys.Ring(source)


class Revocations:
    """The revoked people (`sub`) and tokens (`jti`), in a file beside the people's keys."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._looked_at = 0.0
        self._changed: int | None = None
        self._subs: frozenset[str] = frozenset()
        self._jtis: frozenset[str] = frozenset()

    def name(self, principal: Principal) -> bool:
        return principal.jti in self._jtis or (
            not principal.service and principal.sub in self._subs
        )

    def have_changed(self) -> bool:
        """Whether the file has changed since the last check; if so, reads it."""
        if self._path is None or time.monotonic() - self._looked_at < keys.FILE_SECONDS:
            return False
        self._looked_at = time.monotonic()
        changed = self._path.stat().st_mtime_ns if self._path.exists() else None
        if changed == self._changed:
            return False
        self._changed = changed
        found = json.loads(self._path.read_bytes()) if changed else {}
        self._subs = frozenset(found.get("sub", ()))
        self._jtis = frozenset(found.get("jti", ()))
        return True


REVOKED = "revoked.json"


@cache
def _revocations() -> Revocations:
    source = _setting("JWKS")
    is_file = source and not source.startswith("http")
    return Revocations(Path(source).with_name(REVOKED) if is_file else None)


def forget() -> None:
    """Forgets all tokens and keys; the settings are read again."""
    global _keys_looked_at
    _keys_looked_at = 0.0
    _remembered.clear()
    _ring.cache_clear()
    _revocations.cache_clear()
    keys.signer.cache_clear()


def _token_in(header: str) -> str:
    kind, _, token = header.strip().partition(" ")
    if "," in header:
        detail = "There are two Authorization headers: send one."
        raise Problem(status=400, code="bad_request", detail=detail)
    if kind.lower() != "bearer" or not token or len(token) > LONGEST:
        raise unauthenticated("Send the token as Authorization: Bearer ...")
    return token.strip()


def _is_at_home(request: HttpRequest) -> bool:
    """Whether a request comes from this machine, and neither through a proxy nor from a web page of
    another origin.
    """
    meta = request.META
    if any(name in meta for name in _PROXIED) or any(
        name.startswith(_PROXIED_PREFIX) for name in meta
    ):
        return False
    try:
        request.get_host()  # raises for a foreign host name that resolves to this machine
        is_local = ip_address(meta.get("REMOTE_ADDR", "")).is_loopback
    except (ValueError, DisallowedHost):
        return False
    return is_local and not is_of_a_foreign_page(request)


def is_of_a_foreign_page(request: HttpRequest) -> bool:
    """Whether the headers show that a web page of another origin makes a browser send this."""
    meta = request.META
    if meta.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        return True
    origin = meta.get("HTTP_ORIGIN")
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS:
        return False
    return bool(origin != f"{request.scheme}://{request.get_host()}")


def unauthenticated(detail: str, *, sent: bool = True) -> Problem:
    """401. `sent`: whether the request had a token."""
    challenge = 'Bearer error="invalid_token"' if sent else "Bearer"
    headers = {"WWW-Authenticate": challenge}
    return Problem(status=401, code="unauthenticated", detail=detail, headers=headers)


def _forbidden(declared: Declared, principal: Principal) -> Problem:
    if principal.service:
        detail = f"{principal.service} may not call this door."
    elif declared.scopes:
        detail = f"This door needs a token with {' or '.join(sorted(declared.scopes))}."
    else:
        detail = "Only services may call this door."
    return Problem(status=403, code="forbidden", detail=detail)


def _setting(name: str) -> str:
    """A setting as text; empty if the project does not have it."""
    return str(getattr(settings, name, ""))
