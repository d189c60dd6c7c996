"""Laws fitted to what was measured: the universal scalability law, and any by its parameters.

By the universal scalability law, throughput at N checkouts on their way is
X(N) = a N / (1 + s (N - 1) + k N (N - 1)), where `a` is what one at a time would do, `s` the share
that has to queue for something (contention), and `k` what keeping in step costs (coherency):
Gunther, Guerrilla Capacity Planning, 2007, chapters 4 to 6. As N / X is the mean latency, the law
is linear in 1/a, s/a and k/a, and is fitted as that, with relative errors, none of the three below
0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, log, sqrt

LEAST_POINTS = 4
ROUNDS = 200
STEP = 1e-5
"""Of a parameter's logarithm, to see what the parameter does."""
MOST_CHANGE = 1.0
"""Of a parameter's logarithm in a round."""
LEAST_GAIN = 1e-9
TOLERATED = 0.15
"""A relative error beyond this counts less than its square (Huber, Robust Estimation of a Location
Parameter, 1964): one disturbed window must not bend the whole."""

Predict = Callable[[Sequence[float]], Sequence[float]]
"""From a law's parameters to what it predicts, a value a point."""


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


def solved(*, matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float] | None:
    """By elimination with the largest pivot; None for a singular matrix."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda place: abs(rows[place][column]))
        if abs(rows[pivot][column]) < 1e-12:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for place in range(size):
            if place != column:
                factor = rows[place][column]
                rows[place] = [
                    value - factor * own
                    for value, own in zip(rows[place], rows[column], strict=True)
                ]
    return [row[-1] for row in rows]


def fitted(*, law: Predict, measured: Sequence[float], start: Sequence[float]) -> list[float]:
    """The parameters, all above 0, with which the law comes nearest to what was measured.

    Least squares of the relative errors, the large ones tempered, by Levenberg's and Marquardt's
    method (Marquardt, An Algorithm for Least-Squares Estimation of Nonlinear Parameters, 1963) on
    the parameters' logarithms. `start`: guesses of the right size. A parameter that changes
    nothing stays as guessed.
    """
    place = [log(one) for one in start]
    damping = 1e-2
    errors = _differences(law, place, measured)
    for _ in range(ROUNDS):
        move = _move(law, place, measured, errors, damping)
        tried = [old + change for old, change in zip(place, move, strict=True)]
        found = _differences(law, tried, measured)
        gain = _sum(errors) - _sum(found)
        if gain <= 0:
            damping *= 4
            if damping > 1e12:
                break
            continue
        place, errors, damping = tried, found, max(damping / 3, 1e-9)
        if gain < LEAST_GAIN * max(_sum(errors), 1e-12):
            break
    return [exp(one) for one in place]


def _differences(law: Predict, place: Sequence[float], measured: Sequence[float]) -> list[float]:
    predicted = law([exp(min(one, 50.0)) for one in place])
    return [_tempered(one / real - 1) for one, real in zip(predicted, measured, strict=True)]


def _tempered(error: float) -> float:
    """So that its square is Huber's loss."""
    size = abs(error)
    if size <= TOLERATED:
        return error
    root = sqrt(2 * TOLERATED * size - TOLERATED**2)
    return root if error > 0 else -root


def _sum(errors: Sequence[float]) -> float:
    return sum(one * one for one in errors)


def _move(
    law: Predict,
    place: Sequence[float],
    measured: Sequence[float],
    errors: Sequence[float],
    damping: float,
) -> list[float]:
    columns = []
    for number in range(len(place)):
        moved = [one + STEP * (other == number) for other, one in enumerate(place)]
        there = _differences(law, moved, measured)
        columns.append([(new - old) / STEP for new, old in zip(there, errors, strict=True)])
    size = range(len(place))
    matrix = [[_product(columns[i], columns[j]) for j in size] for i in size]
    for i in size:
        matrix[i][i] += damping * max(matrix[i][i], 1e-6)
    right = [-_product(columns[i], errors) for i in size]
    found = solved(matrix=matrix, right=right) or [0.0 for _ in size]
    return [max(min(one, MOST_CHANGE), -MOST_CHANGE) for one in found]


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))
