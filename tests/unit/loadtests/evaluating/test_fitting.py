"""Laws fitted to points."""

import random

import pytest

from loadtests.evaluating.fitting import ScalabilityLaw, fit, fitted

LAW = ScalabilityLaw(alone=45.0, contention=0.05, coherency=0.0002, error=0.0)
LEVELS = (0.5, 1, 2, 5, 10, 20, 50, 100)


def _points(law: ScalabilityLaw, *, noise: float = 0.0) -> list[tuple[float, float]]:
    signs = (1, -1, 1, -1, -1, 1, -1, 1)
    return [
        (n, law.throughput(in_flight=n) * (1 + noise * sign))
        for n, sign in zip(LEVELS, signs, strict=True)
    ]


def test_law_is_found_again_from_its_own_points() -> None:
    law = fit(points=_points(LAW))
    assert law is not None
    assert law.alone == pytest.approx(LAW.alone)
    assert law.contention == pytest.approx(LAW.contention)
    assert law.coherency == pytest.approx(LAW.coherency)
    assert law.error == pytest.approx(0, abs=1e-9)


def test_law_is_found_under_noise_with_its_error() -> None:
    law = fit(points=_points(LAW, noise=0.05))
    assert law is not None
    assert law.contention == pytest.approx(LAW.contention, rel=0.3)
    assert 0.03 < law.error < 0.07


def test_no_term_is_below_zero_where_batches_make_more_load_cheaper() -> None:
    law = fit(points=[(1, 10), (2, 25), (4, 60), (8, 130), (16, 290)])
    assert law is not None
    assert law.contention >= 0
    assert law.coherency >= 0


def test_throughput_is_highest_where_the_law_says() -> None:
    peak = LAW.most_in_flight()
    most = LAW.throughput(in_flight=peak)
    assert most > LAW.throughput(in_flight=peak * 0.9)
    assert most > LAW.throughput(in_flight=peak * 1.1)


def test_throughput_without_coherency_only_levels_off() -> None:
    law = ScalabilityLaw(alone=10, contention=0.1, coherency=0.0, error=0.0)
    assert law.most_in_flight() == float("inf")


def test_three_points_are_too_few_for_three_terms() -> None:
    assert fit(points=[(1, 10), (2, 18), (3, 25)]) is None


POINTS = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]


def _law(values):
    most, half = values
    return [most * point / (half + point) for point in POINTS]


def test_parameters_are_found_from_far_away() -> None:
    values = fitted(law=_law, measured=_law([30.0, 2.0]), start=[1.0, 100.0])
    assert values == pytest.approx([30, 2], rel=1e-3)


def test_parameters_are_found_among_noise() -> None:
    chance = random.Random(2)
    measured = [value * chance.gauss(1, 0.02) for value in _law([30.0, 2.0])]
    assert fitted(law=_law, measured=measured, start=[1.0, 1.0]) == pytest.approx([30, 2], rel=0.1)


def test_one_wild_point_hardly_moves_the_others() -> None:
    measured = _law([30.0, 2.0])
    measured[3] *= 5
    values = _law(fitted(law=_law, measured=measured, start=[1.0, 1.0]))
    assert values[0] == pytest.approx(_law([30.0, 2.0])[0], rel=0.2)


def test_parameter_that_changes_nothing_stays_as_guessed() -> None:
    fit_values = fitted(law=lambda values: [values[0]], measured=[7.0], start=[1.0, 3.0])
    assert fit_values == pytest.approx([7, 3])
