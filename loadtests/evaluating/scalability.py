"""The universal scalability law, fitted to measured levels.

Throughput at N checkouts on their way: X(N) = a N / (1 + s (N - 1) + k N (N - 1)), where `a` is
what one at a time would do, `s` the share that has to queue for something (contention), and `k`
what keeping in step costs (coherency): Gunther, Guerrilla Capacity Planning, 2007, chapters 4 to 6.
As N / X is the mean latency, the law is linear in 1/a, s/a and k/a, and is fitted as that, with
relative errors, none of the three below 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

from loadtests.evaluating.solving import solved

LEAST_POINTS = 4


@dataclass(frozen=True, kw_only=True)
class Law:
    """`alone`: throughput of one at a time, a second. `contention`, `coherency`: s and k.

    `error`: root mean square of the relative errors of the fitted latencies, 0.1 is 10 %.
    """

    alone: float
    contention: float
    coherency: float
    error: float

    def throughput(self, *, in_flight: float) -> float:
        """Completed a second with so many on their way."""
        others = in_flight - 1
        return (
            self.alone
            * in_flight
            / (1 + self.contention * others + self.coherency * in_flight * others)
        )

    def most_in_flight(self) -> float:
        """Where throughput is highest; infinite where it only levels off."""
        if self.coherency <= 0:
            return float("inf")
        return sqrt(max(1 - self.contention, 0.0) / self.coherency)


def fit(*, points: Sequence[tuple[float, float]]) -> Law | None:
    """The law nearest to these points (on their way, completed a second).

    None for less than 4 points, or if no such law describes them.
    """
    if len(points) < LEAST_POINTS:
        return None
    found = [
        (_error(points, terms), terms)
        for count in (3, 2, 1)
        for chosen in combinations((0, 1, 2), count)
        if 0 in chosen and (terms := _terms(points, chosen))
    ]
    if not found:
        return None
    error, (a, b, c) = min(found)
    return Law(alone=1 / a, contention=b / a, coherency=c / a, error=error)


def _regressors(in_flight: float) -> tuple[float, float, float]:
    return (1.0, in_flight - 1, in_flight * (in_flight - 1))


def _terms(
    points: Sequence[tuple[float, float]], chosen: Sequence[int]
) -> tuple[float, float, float] | None:
    """Least squares with these terms only; None where one comes out below 0."""
    rows = [
        ([_regressors(n)[term] * x / n for term in chosen], 1.0) for n, x in points if n > 0 < x
    ]
    size = range(len(chosen))
    matrix = [[sum(row[i] * row[j] for row, _ in rows) for j in size] for i in size]
    right = [sum(row[i] * target for row, target in rows) for i in size]
    found = solved(matrix=matrix, right=right)
    if found is None or min(found) < 0 or found[0] <= 0:
        return None
    full = dict(zip(chosen, found, strict=True))
    return (full.get(0, 0.0), full.get(1, 0.0), full.get(2, 0.0))


def _error(points: Sequence[tuple[float, float]], terms: tuple[float, float, float]) -> float:
    errors = [
        sum(term * own for term, own in zip(terms, _regressors(n), strict=True)) * x / n - 1
        for n, x in points
        if n > 0 < x
    ]
    return sqrt(sum(one**2 for one in errors) / len(errors))
