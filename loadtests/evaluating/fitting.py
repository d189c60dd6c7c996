"""Fits laws to measurements: the universal scalability law, and any other with parameters.

By the universal scalability law, throughput with N checkouts in flight is
X(N) = a N / (1 + s (N - 1) + k N (N - 1)), where `a` is the throughput of one at a time, `s` the
share of work that queues for something (contention), and `k` the cost of staying consistent
(coherency): Gunther, Guerrilla Capacity Planning, 2007, chapters 4 to 6. As N / X is the mean
latency, the law is linear in 1/a, s/a and k/a; these are fitted, with relative errors, all >= 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

LEAST_POINTS = 4
TOLERATED = 0.15
"""A relative error beyond this counts less than its square (Huber, Robust Estimation of a Location
Parameter, 1964): one disturbed window must not distort the fit."""
MOST = 50.0
"""The highest logarithm of a parameter."""
Matrix = NDArray[numpy.float64]
Predict = Callable[[Sequence[float]], Sequence[float]]
"""From a law's parameters to its predictions, one for each point."""


@dataclass(frozen=True, kw_only=True)
class ScalabilityLaw:
    """`alone`: throughput of one at a time, per second. `contention`, `coherency`: s and k.

    `error`: root mean square of the relative errors of the fitted latencies, 0.1 is 10 %.
    """

    alone: float
    contention: float
    coherency: float
    error: float

    def throughput(self, *, in_flight: float) -> float:
        """Completed per second with this many in flight."""
        others = in_flight - 1
        return (
            self.alone
            * in_flight
            / (1 + self.contention * others + self.coherency * in_flight * others)
        )

    def most_in_flight(self) -> float:
        """In flight at the highest throughput; infinite if throughput only levels off."""
        if self.coherency <= 0:
            return float("inf")
        return sqrt(max(1 - self.contention, 0.0) / self.coherency)


def fit(*, points: Sequence[tuple[float, float]]) -> ScalabilityLaw | None:
    """The law closest to these points (in flight, completed per second; both above 0).

    None for fewer than 4 points, or if no such law describes them.
    """
    if len(points) < LEAST_POINTS:
        return None
    # A row a point; with the right terms (1/a, s/a, k/a) each comes to 1.
    rows = numpy.array([[x / n, (n - 1) * x / n, (n - 1) * x] for n, x in points])
    terms, distance_of_all = nnls(rows, numpy.ones(len(rows)))
    a, b, c = terms.tolist()
    if a == 0:
        return None
    error = float(distance_of_all) / sqrt(len(points))
    return ScalabilityLaw(alone=1 / a, contention=b / a, coherency=c / a, error=error)


def fitted(
    *,
    law: Predict,
    measured: Sequence[float],
    start: Sequence[float],
    step: float | None = None,
    most: int | None = None,
) -> list[float]:
    """The parameters, all above 0, with which the law comes closest to the measurements.

    Least squares of the relative errors, large ones tempered, over the parameters' logarithms.
    `start`: guesses of the right size. A parameter without effect stays as guessed. `step`: of a
    logarithm, for a law that is a simulation and too noisy for smaller ones; `most`: rounds.
    """
    real: Matrix = numpy.array(measured)

    def errors(place: Matrix) -> Matrix:
        predicted: Matrix = numpy.array(law(numpy.exp(numpy.minimum(place, MOST)).tolist()))
        return predicted / real - 1

    found = least_squares(
        errors,
        numpy.log(start),
        loss="huber",
        f_scale=TOLERATED,
        diff_step=step and step / numpy.maximum(abs(numpy.log(start)), step),
        max_nfev=most,
    )
    return [float(value) for value in numpy.exp(found.x)]


def distance(*, predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Of a law from the measurements: the mean of the relative errors, tempered as in `fitted`
    (those beyond TOLERATED count less), so that both agree on the best of several laws."""
    errors = abs(numpy.array(predicted) / numpy.array(measured) - 1) / TOLERATED
    tempered = numpy.where(errors <= 1, errors**2, 2 * errors - 1)
    return float(TOLERATED * numpy.sqrt(numpy.mean(tempered)))
