"""Equations, and laws fitted to points."""

import random

import pytest

from loadtests.evaluating.solving import fitted, solved


def test_equations_are_solved_whatever_their_order() -> None:
    assert solved(matrix=[[0, 2], [4, 1]], right=[6, 11]) == pytest.approx([2, 3])


def test_equations_that_say_the_same_twice_have_no_solution() -> None:
    assert solved(matrix=[[1, 2], [2, 4]], right=[3, 6]) is None


POINTS = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]


def _law(values):
    most, half = values
    return [most * point / (half + point) for point in POINTS]


def test_parameters_are_found_from_far_away() -> None:
    found = fitted(law=_law, measured=_law([30.0, 2.0]), start=[1.0, 100.0])
    assert found == pytest.approx([30, 2], rel=1e-3)


def test_parameters_are_found_among_noise() -> None:
    chance = random.Random(2)
    measured = [one * chance.gauss(1, 0.02) for one in _law([30.0, 2.0])]
    assert fitted(law=_law, measured=measured, start=[1.0, 1.0]) == pytest.approx([30, 2], rel=0.1)


def test_one_wild_point_hardly_moves_the_others() -> None:
    measured = _law([30.0, 2.0])
    measured[3] *= 5
    found = _law(fitted(law=_law, measured=measured, start=[1.0, 1.0]))
    assert found[0] == pytest.approx(_law([30.0, 2.0])[0], rel=0.2)


def test_parameter_that_changes_nothing_stays_as_guessed() -> None:
    found = fitted(law=lambda values: [values[0]], measured=[7.0], start=[1.0, 3.0])
    assert found == pytest.approx([7, 3])
