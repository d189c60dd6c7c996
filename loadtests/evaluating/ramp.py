"""At which rate to offer checkouts so that a pattern is just more than busy.

A pattern is saturated in a window when the shop needs clearly longer to end its checkouts than it
took to offer them. Its completed/s then says what the shop can do, not what it was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.measuring.samples import NotMeasured

OVERLOAD = 1.3
SATURATED_BELOW = 0.95


@dataclass(frozen=True, kw_only=True)
class Level:
    """What was offered in a window, and what came of it, both a second."""

    offered: float
    completed: float

    @property
    def is_saturated(self) -> bool:
        return self.completed < SATURATED_BELOW * self.offered


def next_rate(*, seen: Sequence[Level]) -> float:
    """Above the best that the pattern has done so far; where it could follow, it climbs.

    Raises NotMeasured where nothing was completed so far.
    """
    best = max((level.completed for level in seen), default=0.0)
    if best <= 0:
        raise NotMeasured("nothing was completed so far: there is nothing to measure")
    return float(round(best * OVERLOAD))
