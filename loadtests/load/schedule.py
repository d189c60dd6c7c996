"""When each checkout of a window is meant to start: an open-loop schedule, made beforehand.

The times depend on nothing that the shop does, so a slow answer delays no later start
(Schroeder et al., Open versus closed: a cautionary tale, NSDI 2006).
"""

import random
from enum import StrEnum


class Arrivals(StrEnum):
    """How the starts are spread over a window."""

    POISSON = "poisson"
    CONSTANT = "constant"


def offsets(*, arrivals: Arrivals, rate: float, seconds: float, seed: int) -> list[float]:
    """The intended starts in seconds after the window's own, ascending, all below `seconds`.

    The same arguments always give the same list; `seed` matters to Poisson arrivals only.
    Raises ValueError where rate or seconds is not above 0.
    """
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"rate and seconds must be above 0, not {rate} and {seconds}")
    if arrivals is Arrivals.CONSTANT:
        return _constant(rate, seconds)
    return _poisson(rate, seconds, seed)


def _constant(rate: float, seconds: float) -> list[float]:
    return [n / rate for n in range(int(rate * seconds + 1e-9))]


def _poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Gaps drawn from an exponential distribution with mean 1/rate."""
    chance = random.Random(seed)  # noqa: S311 -- a schedule to repeat, no secret
    found = []
    at = chance.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += chance.expovariate(rate)
    return found
