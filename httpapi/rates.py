"""How many requests a person may send: a token bucket each, in each process of a service.

Money has limits of its own, in the database (coordination.acceptance); what comes without a token
is the proxy's matter.
"""

import threading
from math import ceil
from time import monotonic

from django.conf import settings

from httpapi.problems import Problem

MOST_KNOWN = 10_000
"""Buckets that are kept; beyond it all are full again."""
CODE = "too_many_requests"

_lock = threading.Lock()
_buckets: dict[str, tuple[float, float]] = {}
"""By whose it is: what was left, and when that was."""


def take(person: str) -> None:
    """Counts a request of this person. Raises Problem (429) where there are too many.

    `PERSON_RATE` of the settings: so many a second for long (0: as many as come); `PERSON_BURST`:
    at once.
    """
    rate = float(getattr(settings, "PERSON_RATE", 0))
    if not rate:
        return
    burst = float(settings.PERSON_BURST)
    if wait := seconds_to_wait(person, rate=rate, burst=burst):
        raise Problem(
            status=429,
            code=CODE,
            detail=f"At most {rate:g} requests a second, and {burst:g} at once: again in a moment.",
            headers={"Retry-After": str(ceil(wait))},
        )


def seconds_to_wait(whose: str, *, rate: float, burst: float) -> float:
    """0, where there is something in this bucket, which is taken. `rate`: what comes into it in a
    second; `burst`: what it holds.
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
    """All buckets are full again."""
    with _lock:
        _buckets.clear()
