"""A window of load: one pattern, so many checkouts a second, for a few seconds, of such a mix."""

from dataclasses import dataclass
from enum import StrEnum

from loadtests.load.schedule import Arrivals

WARM_UP_BURST_RATE = 400.0


class Phase(StrEnum):
    """What a window is for, in the order of a full run; a short one leaves those marked * out.

    WARM_UP: dropped. FULL: more than the pattern can do. KNEE *: shares of what it could do then,
    in search of what it can do for good. LIGHT: latency. LEVELS *: the same loads for all patterns,
    as shares of the lowest knee. FAILURES: cards are declined, stock runs out. HOT *: everybody
    wants the same product. ZIPF *: some products are much more popular than others. PAUSE *: a
    participant stands still for a while.
    CELL: of a survey only (surveying/grid.py): one combination of load and refusals.
    """

    WARM_UP = "warm-up"
    FULL = "full"
    KNEE = "knee"
    LIGHT = "light"
    LEVELS = "levels"
    FAILURES = "failures"
    HOT = "hot"
    ZIPF = "zipf"
    PAUSE = "pause"
    CELL = "cell"


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How a window's checkouts are composed, as shares of them; the rest should complete."""

    declined: float = 0.0
    """Paid with a card that is refused: the reservation is undone (compensated)."""
    scarce: float = 0.0
    """Want the last unit of a product: all but one are refused at the reservation (failed)."""
    hot: float = 0.0
    """Want one and the same product, of which there is plenty: they queue for its row."""
    zipf: float = 0.0
    """No share: how much more popular some products are among the rest. The n-th is wanted as
    often as 1 / n to this power (Zipf's law); 0: all alike."""


UNMIXED = Mix()
"""Nothing is to be refused, and all products are wanted alike."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One pattern under one load, for a few seconds.

    `rate` 0: it is found on the way (see evaluating/rates.py).
    `block`: its pairs, one of each pattern, have the same one. `share`: of what the phase says.
    `pause_seconds`: for so long a participant stands still, from a quarter of the window on.
    """

    number: int
    block: int
    phase: Phase
    pattern: str
    arrivals: Arrivals
    rate: float
    seconds: float
    seed: int
    mix: Mix = UNMIXED
    share: float = 0.0
    pause_seconds: float = 0.0
