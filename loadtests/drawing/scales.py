"""From values to places on paper, and the round numbers at which an axis is marked."""

import math
from dataclasses import dataclass

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
LEAST = 1e-9
PERCENTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """`low` to `high`, drawn from `start` to `end`; what lies outside is drawn at its border."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, *, most: int) -> list[float]:
        """Round numbers within, at most about so many."""
        return _every(step_for(span=self.high - self.low, most=most), self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Log:
    """As Linear, with equal distances for equal factors. `low` must be above 0."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self._even(math.log10(max(value, self.low)))

    def ticks(self, *, most: int) -> list[float]:
        """Powers of ten, with their doubles and halves where there is room."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 2, 5), (1, 3), (1,)):
            found = [part * 10.0**power for power in powers for part in parts]
            found = [one for one in found if self.low <= one <= self.high]
            if len(found) <= most:
                break
        return found

    @property
    def _even(self) -> Linear:
        low, high = math.log10(self.low), math.log10(self.high)
        return Linear(low=low, high=high, start=self.start, end=self.end)


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Shares of all (0 to `high`, below 1), each further nine as long as the one before.

    So the slowest one in a thousand has as much room as the slowest one in ten (the axis of Gil
    Tene's HdrHistogram).
    """

    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        even = Linear(low=0.0, high=_nines(self.high), start=self.start, end=self.end)
        return even(_nines(min(value, self.high)))

    def ticks(self) -> list[float]:
        return [one for one in PERCENTILES if one <= self.high]

    def grid(self, *, count: int) -> list[float]:
        """So many shares at even distances on paper."""
        nines = _nines(self.high)
        return [1 - 10 ** (-nines * place / (count - 1)) for place in range(count)]


def _nines(share: float) -> float:
    return -math.log10(1 - share)


def step_for(*, span: float, most: int) -> float:
    """The smallest round step that cuts `span` into at most `most` pieces."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(one * power for one in NICE if one * power >= rough * (1 - 1e-9))


def rounded_up(value: float, *, most: int = 5) -> float:
    """The end of an axis from 0 that has room for `value`; 1 for next to nothing."""
    if value < LEAST:
        return 1.0
    step = step_for(span=value, most=most)
    return math.ceil(value / step - 1e-9) * step


def _every(step: float, low: float, high: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]
