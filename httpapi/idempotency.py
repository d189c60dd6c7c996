"""`Idempotency-Key`: the same key with the same body is the same request."""

import hashlib
from typing import Any

from django.http import HttpRequest

from contracts.bounds import MOST_KEY
from httpapi.json import encode
from httpapi.problems import wrong_field


def key_of(request: HttpRequest) -> str | None:
    """The header's value; None without one. Raises Problem (400) where it is not usable."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MOST_KEY:
        raise wrong_field("Idempotency-Key", f"1 to {MOST_KEY} characters")
    return key


def fingerprint(body: Any) -> str:
    """The same for bodies that mean the same, whatever the order of their fields."""
    return hashlib.sha256(encode(_ordered(body))).hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(one) for one in value]
    return value
