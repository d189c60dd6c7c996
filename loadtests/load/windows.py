"""A window of load: one pattern, so many checkouts a second, for a few seconds, of such a mix; when
each of them is meant to start; and how long windows take.

The schedule is open-loop, made beforehand: its times depend on nothing that the shop does, so a
slow answer delays no later start (Schroeder et al., Open versus closed: a cautionary tale, NSDI
2006).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

WARM_UP_BURST_RATE = 400.0
AS_GOOD_AS = 5
"""Windows: so many weigh as much as the assumption."""
START_SECONDS = 20.0
AUDIT_SECONDS = 5.0
FULL_AUDIT_SECONDS = 60.0
"""Of a full run, before and after its outage: some 150,000 sagas."""


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


def stepped(
    *, arrivals: Arrivals, rates: Sequence[float], seconds: float, seed: int
) -> list[float]:
    """As `offsets`, at one rate after the other, each for `seconds`."""
    return [
        place * seconds + at
        for place, rate in enumerate(rates)
        for at in offsets(arrivals=arrivals, rate=rate, seconds=seconds, seed=seed + place)
    ]


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


class WindowPhase(StrEnum):
    """What a window is for, in the order of a full run; a short one leaves those marked * out.

    WARM_UP: dropped. FULL: more than the pattern can do. HOT_FULL *, ZIPF_FULL *: the same, with
    the products as in HOT and ZIPF. BEYOND *: twice as much as it can do. KNEE *: shares of what it
    could do then, in search of what it can do for good. LIGHT: latency. LEVELS *: the same loads
    for all patterns, as shares of the lowest knee. FAILURES: cards are declined, stock runs out.
    HOT *: everybody wants the same product. ZIPF *: some products are much more popular than
    others. PAUSE *: a participant stands still for a while.
    CELL: of a survey only (surveying/grid.py): one combination of load and refusals.
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
"""Full load made harder, beside windows of plain full load."""


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
class Load:
    """What a window offers, whichever the pattern. `rate` 0: it is found on the way (see
    evaluating/rates.py). `share`: of what the phase says. `pause_seconds`: for so long a
    participant stands still, from a quarter of the window on.
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
    """One pattern under one load. `block`: its pairs, one of each pattern, have the same one."""

    number: int
    block: int
    pattern: str
    seed: int


def in_blocks(
    *, loads: Sequence[Load], patterns: Sequence[str], chance: random.Random
) -> list[Window]:
    """A block of windows for each load, in the order in which they run: one of each pattern, with
    the same seed. The order is drawn for every other block, and turned around for the one after it
    (ABBA)."""
    planned: list[Window] = []
    order: list[str] = []
    for block, load in enumerate(loads, start=1):
        same = {**vars(load), "block": block, "seed": chance.randrange(2**31)}
        order = order[::-1] if block % 2 == 0 else chance.sample(list(patterns), len(patterns))
        for pattern in order:
            planned.append(Window(**same, pattern=pattern, number=len(planned) + 1))
    return planned


AROUND_SECONDS = {Arrivals.POISSON: 1.4, Arrivals.CONSTANT: 3.5}
"""Around a window (supplied, drained, left to rest, read), until windows have shown it. Constant
arrivals are for what may be too much: more carts are made before, and a backlog ends after them."""


class Remaining:
    """Learns from each window what one takes beside its own time."""

    def __init__(self, *, after: float = 0.0) -> None:
        """`after`: seconds of what comes after the last window."""
        self._after = after
        self._around = {kind: seconds * AS_GOOD_AS for kind, seconds in AROUND_SECONDS.items()}
        self._seen = dict.fromkeys(AROUND_SECONDS, AS_GOOD_AS)

    def add(self, *, window: Window, took: float) -> None:
        """A window has ended, `took` seconds after the one before it."""
        self._around[window.arrivals] += took - window.seconds
        self._seen[window.arrivals] += 1

    def seconds(self, *, to_come: Sequence[Window]) -> float:
        """Until the end, with these windows to come."""
        around = {kind: max(self._around[kind] / self._seen[kind], 0.0) for kind in Arrivals}
        return sum(window.seconds + around[window.arrivals] for window in to_come) + self._after


def as_minutes(*, seconds: float) -> str:
    """190 is 3:10."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
