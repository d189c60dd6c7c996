"""Small systems of linear equations, and laws fitted to points: all that the models here need."""

from collections.abc import Callable, Sequence
from math import exp, log, sqrt

ROUNDS = 200
STEP = 1e-5
"""Of a parameter's logarithm, to see what the parameter does."""
MOST_CHANGE = 1.0
"""Of a parameter's logarithm in a round."""
LEAST_GAIN = 1e-9
TOLERATED = 0.15
"""A relative error beyond this counts less than its square (Huber, Robust Estimation of a Location
Parameter, 1964): one disturbed window must not bend the whole."""

Law = Callable[[Sequence[float]], Sequence[float]]
"""From parameters to what they predict, a value a point."""


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


def fitted(*, law: Law, measured: Sequence[float], start: Sequence[float]) -> list[float]:
    """The parameters, all above 0, with which the law comes nearest to what was measured.

    Least squares of the relative errors, the large ones tempered, by Levenberg's and Marquardt's
    method (Marquardt, An Algorithm for Least-Squares Estimation of Nonlinear Parameters, 1963) on
    the parameters' logarithms. `start`: guesses of the right size. A parameter that changes
    nothing stays as guessed.
    """
    place = [log(one) for one in start]
    damping = 1e-2
    errors = _errors(law, place, measured)
    for _ in range(ROUNDS):
        move = _move(law, place, measured, errors, damping)
        tried = [old + change for old, change in zip(place, move, strict=True)]
        found = _errors(law, tried, measured)
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


def _errors(law: Law, place: Sequence[float], measured: Sequence[float]) -> list[float]:
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
    law: Law,
    place: Sequence[float],
    measured: Sequence[float],
    errors: Sequence[float],
    damping: float,
) -> list[float]:
    columns = []
    for number in range(len(place)):
        moved = [one + STEP * (other == number) for other, one in enumerate(place)]
        there = _errors(law, moved, measured)
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
