"""Tokens of every caller in these tests."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jwt
import pytest

from accounts.holders import OF_PEOPLE, OF_SERVICES, Holders
from httpapi import authentication
from httpapi.keys import ALL, PEOPLE, SERVICE, USER


class Issuer:
    """Makes valid and invalid tokens."""

    def __init__(self, folder: Path) -> None:
        self.holders = Holders(folder)
        self.holders.make_missing()

    def user(self, sub: str = "ana", *, scope: str = "shop", **claims: Any) -> str:
        given = {"aud": ALL, "sub": sub, "scope": scope, "seconds": 60, **claims}
        return self.holders.signer(PEOPLE).sign(kind=USER, **given)

    def service(self, name: str, *, to: str, **claims: Any) -> str:
        return self.holders.signer(name).sign(kind=SERVICE, aud=to, seconds=60, **claims)

    def forged(self, key: Any, *, algorithm: str, claims: dict[str, Any], **headers: Any) -> str:
        """Signed by any key, with any header."""
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def required(issuer: Issuer, settings: Any) -> Iterator[Issuer]:
    """This process has authentication on; it is carrito, with the doors of all services."""
    import_module(settings.ROOT_URLCONF)  # which looks whose process this is, once
    folder = issuer.holders.folder
    settings.AUTH, settings.SERVICE, settings.PERSON_RATE = "required", "carrito", 0
    settings.JWKS, settings.SERVICE_KEYS = str(folder / OF_PEOPLE), str(folder / OF_SERVICES)
    settings.SIGNING_KEY = str(folder / "carrito.json")
    authentication.forget()
    yield issuer
    authentication.forget()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
