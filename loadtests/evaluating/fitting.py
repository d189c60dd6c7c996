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
from math import sqrt

import numpy
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

LEAST_POINTS = 4
TOLERATED = 0.15
"""A relative error beyond this counts less than its square (Huber, Robust Estimation of a Location
Parameter, 1964): one disturbed window must not bend the whole."""
MOST = 50.0
"""Of a parameter's logarithm: no law makes sense of more."""
Matrix = NDArray[numpy.float64]
Predict = Callable[[Sequence[float]], Sequence[float]]
"""From a law's parameters to what it predicts, a value a point."""


@dataclass(frozen=True, kw_only=True)
class ScalabilityLaw:
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


def fit(*, points: Sequence[tuple[float, float]]) -> ScalabilityLaw | None:
    """The law nearest to these points (on their way, completed a second; both above 0).

    None for less than 4 points, or if no such law describes them.
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
    """The parameters, all above 0, with which the law comes nearest to what was measured.

    Least squares of the relative errors, the large ones tempered, on the parameters' logarithms.
    `start`: guesses of the right size. A parameter that changes nothing stays as guessed. `step`:
    of a logarithm, where the law is a simulation, which smaller ones only shake; `most`: rounds.
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
    """Of a law from what was measured: the mean of the relative errors, as `fitted` tempers them
    (those beyond TOLERATED count less), so the same law is the best of several for both."""
    errors = abs(numpy.array(predicted) / numpy.array(measured) - 1) / TOLERATED
    tempered = numpy.where(errors <= 1, errors**2, 2 * errors - 1)
    return float(TOLERATED * numpy.sqrt(numpy.mean(tempered)))
