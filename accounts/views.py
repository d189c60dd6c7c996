"""The doors for people's tokens, and for the keys that verify them."""

from typing import Annotated, Any, TypedDict

import msgspec
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse

from accounts import logins, tokens
from accounts.tokens import Tokens
from contracts.doors import PUBLIC, door
from httpapi import keys
from httpapi.json import answer, decode
from httpapi.problems import Problem
from httpapi.steps import PlainView

KEYS_SECONDS = 300
"""How long the public keys may be cached."""


class Credentials(msgspec.Struct, frozen=True):
    """A name and a password."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=150)]
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Renewal(msgspec.Struct, frozen=True):
    """A refresh token."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Keys(TypedDict):
    """A JSON Web Key Set."""

    keys: list[dict[str, Any]]


class TokenView(PlainView):
    """POST a name and a password: an access token for 15 minutes, a refresh token for 8 hours."""

    @door(
        PUBLIC,
        takes=Credentials,
        gives={200: Tokens},
        refuses={
            401: ("wrong_login",),
            403: ("forbidden",),
            429: ("too_many_logins",),
            503: ("no_key",),
        },
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        asked = decode(request.body, type=Credentials)
        person = authenticate(request, username=asked.username, password=asked.password)
        if logins.is_shut_out(request):
            raise logins.too_many(request)
        if person is None:
            raise Problem(
                status=401,
                code="wrong_login",
                detail="The name or the password is wrong.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        given = tokens.begin(person)
        del request.session  # no session begins here; django-axes would begin one
        user_logged_in.send(sender=type(person), request=request, user=person)
        return answer(given)


class RefreshView(PlainView):
    """POST a refresh token: new tokens for it. It can be used once; a second use revokes all tokens
    of its login.
    """

    @door(
        PUBLIC,
        takes=Renewal,
        gives={200: Tokens},
        refuses={401: ("unauthenticated",), 403: ("forbidden",), 503: ("no_key",)},
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(tokens.renew(decode(request.body, type=Renewal).refresh_token))


class KeysView(PlainView):
    """GET: the public keys that verify people's tokens (RFC 7517)."""

    @door(PUBLIC, gives={200: Keys}, refuses={503: ("no_key",)})
    def get(self, request: HttpRequest) -> HttpResponse:
        found: list[keys.Jwk] = tokens.public_keys()
        kept = {"Cache-Control": f"public, max-age={KEYS_SECONDS}"}
        return answer({"keys": found}, headers=kept)
