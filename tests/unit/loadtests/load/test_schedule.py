from itertools import pairwise
from statistics import mean, stdev

import pytest

from loadtests.load.windows import Arrivals, offsets, stepped


@pytest.mark.parametrize("arrivals", list(Arrivals))
def test_schedule_is_the_same_for_the_same_seed(arrivals: Arrivals) -> None:
    first, again = (offsets(arrivals=arrivals, rate=50, seconds=4, seed=7) for _ in range(2))
    assert first == again


def test_poisson_schedule_differs_for_another_seed() -> None:
    first, other = (
        offsets(arrivals=Arrivals.POISSON, rate=50, seconds=4, seed=seed) for seed in (1, 2)
    )
    assert first != other


@pytest.mark.parametrize("arrivals", list(Arrivals))
def test_schedule_keeps_its_rate(arrivals: Arrivals) -> None:
    starts = offsets(arrivals=arrivals, rate=200, seconds=100, seed=3)
    # A Poisson count of 20,000 has a standard deviation of 141.
    assert len(starts) == pytest.approx(20_000, abs=5 * 141)


@pytest.mark.parametrize("arrivals", list(Arrivals))
def test_schedule_ascends_within_its_window(arrivals: Arrivals) -> None:
    starts = offsets(arrivals=arrivals, rate=200, seconds=10, seed=3)
    assert starts == sorted(starts)
    assert starts[0] >= 0
    assert starts[-1] < 10


def test_constant_gaps_are_equal_and_poisson_gaps_are_exponential() -> None:
    constant = offsets(arrivals=Arrivals.CONSTANT, rate=100, seconds=100, seed=5)
    poisson = offsets(arrivals=Arrivals.POISSON, rate=100, seconds=100, seed=5)
    assert stdev(_gaps(constant)) == pytest.approx(0, abs=1e-9)
    # An exponential distribution's standard deviation is its mean.
    assert stdev(_gaps(poisson)) == pytest.approx(mean(_gaps(poisson)), rel=0.05)


def test_steps_are_one_rate_after_the_other_each_with_arrivals_of_its_own() -> None:
    kind = Arrivals.POISSON
    starts = stepped(arrivals=kind, rates=(50, 100, 100), seconds=4, seed=7)
    first, second, third = ([at for at in starts if n <= at / 4 < n + 1] for n in range(3))
    assert starts == sorted(starts)
    assert first == offsets(arrivals=kind, rate=50, seconds=4, seed=7)
    assert len(second) > 1.5 * len(first)
    assert [at - 4 for at in second] != pytest.approx([at - 8 for at in third])


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (1, 0), (-1, 1)])
def test_schedule_of_nothing_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        offsets(arrivals=Arrivals.CONSTANT, rate=rate, seconds=seconds, seed=0)


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
