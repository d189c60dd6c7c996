"""What happens next: a schedule is the list of choices that somebody made among what could.

At each step the world offers its options; the first is what happens where nothing goes wrong. A
schedule is written as its deviations from that: `3:5 8:1`, at step 3 the option 5, at step 8 the
option 1. So the undisturbed run is the empty schedule, a short line is a simple story, and "all
schedules with at most two deviations" is a bound that can be enumerated (compare delay-bounded
scheduling: Emmi, Qadeer and Rakamaric, POPL 2011).
"""

import random
from collections.abc import Mapping
from typing import Protocol

Deviations = Mapping[int, int]
"""Step to option; other steps take option 0."""

RATES = (0.15, 0.25, 0.35, 0.5)
"""How often chance deviates; each schedule draws one of these, so that some are smooth for long."""


class Chooser(Protocol):
    """Decides what happens."""

    def deviates(self, *, step: int) -> bool:
        """Whether something else than option 0 may happen at this step. Asked once a step."""

    def choose(self, *, step: int, count: int) -> int:
        """One of `count` options (at least 1), where it deviates."""


class Given:
    """Follows written deviations; one that names an option that is not there is left out."""

    def __init__(self, deviations: Deviations) -> None:
        self._deviations = deviations

    def deviates(self, *, step: int) -> bool:
        return step in self._deviations

    def choose(self, *, step: int, count: int) -> int:
        wanted = self._deviations[step]
        return wanted if wanted < count else 0


class Chance:
    """Deviates at random; the same seed deviates the same way."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- repeatable, not secret
        self._rate = self._random.choice(RATES)

    def deviates(self, *, step: int) -> bool:
        return self._random.random() < self._rate

    def choose(self, *, step: int, count: int) -> int:
        return 1 + int(self._random.random() * (count - 1)) if count > 1 else 0


def written(deviations: Deviations) -> str:
    """As text: `3:5 8:1`."""
    return " ".join(f"{step}:{option}" for step, option in sorted(deviations.items()))


def read(text: str) -> dict[int, int]:
    """The deviations in a text. Raises ValueError where it is not of that form."""
    deviations = {}
    for part in text.split():
        step, colon, option = part.partition(":")
        if not (colon and step.isdecimal() and option.isdecimal()):
            raise ValueError(f"{part!r} is not STEP:OPTION, as in 3:5")
        deviations[int(step)] = int(option)
    return deviations
