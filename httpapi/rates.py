"""Rate limits for people: a token bucket for each person, in each process of a service.

Sagas have limits of their own, in the database (coordination.acceptance); the proxy limits requests
without a token.
"""

import threading
from math import ceil
from time import monotonic

from django.conf import settings

from httpapi.problems import Problem

MOST_KNOWN = 10_000
"""Buckets that are kept; with more people all are dropped, so that they are full again."""
CODE = "too_many_requests"

_lock = threading.Lock()
_buckets: dict[str, tuple[float, float]] = {}
"""By person: the tokens that were left, and at which time."""


def take(person: str) -> None:
    """Counts a request of this person. Raises Problem (429) if there are too many.

    Settings: `PERSON_RATE`, the lasting rate per second (0: unlimited), and `PERSON_BURST`, the
    number at once.
    """
    rate = float(getattr(settings, "PERSON_RATE", 0))
    if not rate:
        return
    burst = float(settings.PERSON_BURST)
    if wait := seconds_to_wait(person, rate=rate, burst=burst):
        raise Problem(
            status=429,
            code=CODE,
            detail=f"At most {rate:g} requests per second, and {burst:g} at once: retry later.",
            headers={"Retry-After": str(ceil(wait))},
        )


def seconds_to_wait(whose: str, *, rate: float, burst: float) -> float:
    """Takes a token from a bucket and returns 0, or the seconds until there is one. `rate`: new
    tokens per second; `burst`: the bucket's size.
    """
    now = monotonic()
    with _lock:
        left, at = _buckets.get(whose, (burst, now))
        left = min(burst, left + (now - at) * rate)
        is_over = left < 1
        if len(_buckets) >= MOST_KNOWN and whose not in _buckets:
            _buckets.clear()
        _buckets[whose] = left if is_over else left - 1, now
    return (1 - left) / rate if is_over else 0.0


def forget() -> None:
    """Drops all buckets, so that they are full again."""
    with _lock:
        _buckets.clear()
