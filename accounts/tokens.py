"""Tokens of people: an access token for minutes, a refresh token for hours that is used once."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, TypedDict

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from accounts import groups
from accounts.holders import PEOPLE_SECONDS
from accounts.models import RefreshToken
from contracts import bounds
from contracts.doors import Scope
from httpapi import authentication, keys
from httpapi.problems import Problem

LOGIN_SECONDS = 8 * 3600
"""From a login on; afterwards the person must log in again."""
KEPT_SECONDS = PEOPLE_SECONDS * 2 / 3
"""How long the dashboard uses the same token of a person."""
MOST_KEPT = 1_000


class Tokens(TypedDict):
    """Named as in OAuth 2. `expires_in`: the access token's seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    scope: str


def begin(person: Any) -> Tokens:
    """Tokens for a login. Raises Problem: 503 without a key, 403 if the name can't be a user_id."""
    return _given(person, login=uuid.uuid4().hex, until=timezone.now() + _LOGIN)


def renew(token: str) -> Tokens:
    """New tokens for a refresh token. Raises Problem (401) if it is unknown, expired, or used
    before; then all tokens of its login are revoked.
    """
    with transaction.atomic():
        found = RefreshToken.objects.select_for_update().filter(pk=_digest(token)).first()
        person = _person_of(found) if found else None
        is_good = found and not found.used_at and found.expires_at > timezone.now() and person
        if found and is_good:
            found.used_at = timezone.now()
            found.save(update_fields=["used_at"])
            return _given(person, login=found.login, until=found.expires_at)
        if found:
            RefreshToken.objects.filter(login=found.login).delete()
    raise authentication.unauthenticated("The refresh token is not good: log in again.")


def access(person: Any, *, via: str = "") -> str:
    """An access token. `via`: the program that acts for the person, if any."""
    name = person.get_username()
    if not bounds.is_id(name):
        raise Problem(
            status=403,
            code="forbidden",
            detail=f"A name that is a user_id has at most {bounds.MOST_ID} characters:"
            f" {bounds.IDS_CHARACTERS}.",
        )
    return _signer().for_person(
        name,
        scopes=groups.scopes_of(person),
        seconds=PEOPLE_SECONDS,
        merchant=groups.merchant_of(person),
        via=via,
    )


_kept: dict[tuple[Any, ...], tuple[float, str]] = {}


def headers_of(person: Any) -> Mapping[str, str]:
    """The headers for calls in a person's name; empty without a key, as in the mode `demo`. The
    token is reused for KEPT_SECONDS, unless the person's scopes change.
    """
    if not settings.ACCOUNTS_KEY:
        return {}
    known = (person.pk, groups.scopes_of(person))
    until, token = _kept.get(known, (0.0, ""))
    if monotonic() >= until:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        token = access(person, via="dashboard")
        _kept[known] = monotonic() + KEPT_SECONDS, token
    return {"Authorization": f"Bearer {token}"}


def may(person: Any, scope: Scope) -> bool:
    """Whether calls in this person's name have the scope."""
    return not settings.ACCOUNTS_KEY or scope in groups.scopes_of(person)


def public_keys() -> list[keys.Jwk]:
    """The public keys of this process. Raises Problem (503) without a key."""
    _signer()
    return [keys.public(key) for key in keys.read(Path(settings.ACCOUNTS_KEY))]


def forget() -> None:
    """Clears the caches; the settings are read again."""
    _kept.clear()
    _signer_of.cache_clear()


_LOGIN = timedelta(seconds=LOGIN_SECONDS)


def _given(person: Any, *, login: str, until: Any) -> Tokens:
    signed = access(person)
    refresh = secrets.token_urlsafe(32)
    RefreshToken.objects.filter(expires_at__lt=timezone.now()).delete()
    RefreshToken.objects.create(
        digest=_digest(refresh), login=login, person=person.pk, expires_at=until
    )
    return {
        "access_token": signed,
        "token_type": "Bearer",  # nosec B105
        "expires_in": int(PEOPLE_SECONDS),
        "refresh_token": refresh,
        "scope": " ".join(sorted(groups.scopes_of(person))),
    }


def _person_of(token: RefreshToken) -> Any:
    """The token's person; None if they may not log in any more."""
    return get_user_model().objects.filter(pk=token.person, is_active=True).first()


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _signer() -> keys.Signer:
    """Raises Problem (503)."""
    if not settings.ACCOUNTS_KEY:
        raise Problem(
            status=503,
            code="no_key",
            detail="No token is given here: this process has no key (DUETO_ACCOUNTS_KEY)."
            " In the mode demo none is needed.",
        )
    return _signer_of(settings.ACCOUNTS_KEY)


@cache
def _signer_of(path: str) -> keys.Signer:
    return keys.Signer(path)
