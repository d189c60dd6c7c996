"""A window of load: one pattern at one rate for a few seconds, with a mix of checkouts; the
intended start of each checkout; and the time that windows take.

The schedule is open-loop and made beforehand, so a slow answer delays no later start (Schroeder et
al., Open versus closed: a cautionary tale, NSDI 2006).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

WARM_UP_BURST_RATE = 400.0
AS_GOOD_AS = 5
"""Measured windows that together weigh as much as AROUND_SECONDS."""
START_SECONDS = 20.0
AUDIT_SECONDS = 5.0
FULL_AUDIT_SECONDS = 60.0
"""Of a full run: the audits before and after its outage, of some 150,000 sagas."""


class Arrivals(StrEnum):
    """How the starts are spread over a window."""

    POISSON = "poisson"
    CONSTANT = "constant"


def offsets(*, arrivals: Arrivals, rate: float, seconds: float, seed: int) -> list[float]:
    """The intended starts in seconds from the window's begin, ascending, all below `seconds`.

    The same arguments give the same list; `seed` matters to Poisson arrivals only. Raises
    ValueError if rate or seconds is not above 0.
    """
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"rate and seconds must be above 0, not {rate} and {seconds}")
    if arrivals is Arrivals.CONSTANT:
        return [n / rate for n in range(int(rate * seconds + 1e-9))]
    chance = random.Random(seed)  # noqa: S311 -- a schedule to repeat, no secret
    found = []
    at = chance.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += chance.expovariate(rate)
    return found


def stepped(
    *, arrivals: Arrivals, rates: Sequence[float], seconds: float, seed: int
) -> list[float]:
    """Like `offsets`, at one rate after the other, each for `seconds`."""
    return [
        place * seconds + at
        for place, rate in enumerate(rates)
        for at in offsets(arrivals=arrivals, rate=rate, seconds=seconds, seed=seed + place)
    ]


class WindowPhase(StrEnum):
    """The purpose of a window, in the order of a full run; a short run omits those marked *.

    WARM_UP: dropped. FULL: more than the pattern can do. HOT_FULL *, ZIPF_FULL *: the same, with
    the products as in HOT and ZIPF. BEYOND *: twice what it can do. KNEE *: shares of its full
    throughput, to find the load it can sustain. LIGHT: latency. LEVELS *: the same loads for all
    patterns, as shares of the lowest knee. FAILURES: cards are declined, stock runs out. HOT *: all
    want the same product. ZIPF *: some products are much more popular than others. PAUSE *: a
    participant is frozen for a while. CELL: of a survey only (surveying/grid.py): one combination
    of load and refusals.
    """

    WARM_UP = "warm-up"
    FULL = "full"
    HOT_FULL = "hot-full"
    ZIPF_FULL = "zipf-full"
    BEYOND = "beyond"
    KNEE = "knee"
    LIGHT = "light"
    LEVELS = "levels"
    FAILURES = "failures"
    HOT = "hot"
    ZIPF = "zipf"
    PAUSE = "pause"
    CELL = "cell"


PRESSURES = (WindowPhase.BEYOND, WindowPhase.HOT_FULL, WindowPhase.ZIPF_FULL)
"""Harder kinds of full load, paired with windows of plain full load."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The composition of a window's checkouts, as shares; the rest should complete."""

    declined: float = 0.0
    """Paid with a card that is declined: the reservation is undone (compensated)."""
    scarce: float = 0.0
    """Want the last unit of a product: all but one are refused at the reservation (failed)."""
    hot: float = 0.0
    """Want the same product, with plenty in stock: they queue for its row."""
    zipf: float = 0.0
    """Not a share, but the exponent of Zipf's law for the other products: demand for the n-th is
    proportional to 1 / n to this power; 0: all alike."""


UNMIXED = Mix()
"""No checkout is refused, and all products are equally popular."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of a window, without its pattern. `rate`: 0 if it follows from earlier windows
    (evaluating/rates.py). `share`: of the amount that the phase names. `pause_seconds`: how long a
    participant is frozen, from a quarter of the window on.
    """

    phase: WindowPhase
    seconds: float
    arrivals: Arrivals = Arrivals.POISSON
    rate: float = 0.0
    mix: Mix = UNMIXED
    share: float = 0.0
    pause_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Window(Load):
    """A pattern under a load. `block`: the same for the windows paired with it, one per pattern."""

    number: int
    block: int
    pattern: str
    seed: int


def in_blocks(
    *, loads: Sequence[Load], patterns: Sequence[str], chance: random.Random
) -> list[Window]:
    """A block of windows for each load: one of each pattern, with the same seed. The order within a
    block is drawn for every other block, and reversed for the next (ABBA)."""
    planned: list[Window] = []
    order: list[str] = []
    for block, load in enumerate(loads, start=1):
        same = {**vars(load), "block": block, "seed": chance.randrange(2**31)}
        order = order[::-1] if block % 2 == 0 else chance.sample(list(patterns), len(patterns))
        for pattern in order:
            planned.append(Window(**same, pattern=pattern, number=len(planned) + 1))
    return planned


AROUND_SECONDS = {Arrivals.POISSON: 1.4, Arrivals.CONSTANT: 3.5}
"""The initial estimate of the time around a window (supply, drain, rest, meters). Constant arrivals
may be an overload: more carts are made before it, and a backlog drains after it."""


class Remaining:
    """Estimates the remaining time; learns from each window the time around it."""

    def __init__(self, *, after: float = 0.0) -> None:
        """`after`: seconds needed after the last window."""
        self._after = after
        self._around = {kind: seconds * AS_GOOD_AS for kind, seconds in AROUND_SECONDS.items()}
        self._seen = dict.fromkeys(AROUND_SECONDS, AS_GOOD_AS)

    def add(self, *, window: Window, took: float) -> None:
        """A window has ended, `took` seconds after the one before it."""
        self._around[window.arrivals] += took - window.seconds
        self._seen[window.arrivals] += 1

    def seconds(self, *, to_come: Sequence[Window]) -> float:
        """Until the end, with these windows still to run."""
        around = {kind: max(self._around[kind] / self._seen[kind], 0.0) for kind in Arrivals}
        return sum(window.seconds + around[window.arrivals] for window in to_come) + self._after


def as_minutes(*, seconds: float) -> str:
    """190 as `3:10`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
