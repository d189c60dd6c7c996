"""The threshold of yes/no answers, tested on simulated machines whose threshold is known."""

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.evaluating.knee import Answer, Bounds, bounds, threshold
from loadtests.load.plan import knee_shares

ANSWERS = st.lists(
    st.tuples(st.integers(min_value=1, max_value=30).map(float), st.booleans()), min_size=1
)
MACHINES = 400
MOOD = 0.15
"""How much a machine's windows differ (standard deviation of the logarithm)."""
EIGHT_OF_THREE = [share for share in (0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25) for _ in range(3)]
"""The windows of the previous rule: as many, of the same length."""


def answers(*taken: str) -> list[Answer]:
    """`yy`, `yn`, `nn`: the windows at 100/s, at 200/s, at 300/s."""
    return [
        (place * 100.0, letter == "y")
        for place, letters in enumerate(taken, start=1)
        for letter in letters
    ]


def most_by_level(taken: Sequence[Answer]) -> float | None:
    """The previous rule: the last load before the first that most windows did not sustain."""
    last = None
    for load in sorted({load for load, _ in taken}):
        votes = [is_taken for other, is_taken in taken if other == load]
        if sum(votes) * 2 <= len(votes):
            break
        last = load
    return last


def moody(
    true: float, loads: Sequence[float], chance: random.Random, *, lasts: float = 0.0
) -> list[Answer]:
    """The answers of windows on a machine that takes `true`, apart from its mood.

    `lasts`: how much of a mood is left in the next window.
    """
    mood, votes = chance.gauss(0, 1), []
    for load in loads:
        votes.append((load, load <= true * math.exp(MOOD * mood)))
        mood = lasts * mood + math.sqrt(1 - lasts**2) * chance.gauss(0, 1)
    return votes


def errors(
    rule: Callable[[Sequence[Answer]], float | None], loads: Sequence[float], *, lasts: float = 0.0
) -> tuple[float, float]:
    """Bias and root mean square of the rule's error, as shares of the truth."""
    chance = random.Random(5)
    off = []
    for _ in range(MACHINES):
        true = chance.uniform(0.55, 1.05)
        estimate = rule(moody(true, loads, chance, lasts=lasts)) or min(loads)
        off.append(math.log(estimate / true))
    return fmean(off), math.sqrt(fmean(error**2 for error in off))


def fit(votes: Sequence[Answer]) -> float | None:
    return threshold(answers=votes)


def test_threshold_without_exceptions_is_the_last_load_that_was_taken() -> None:
    assert threshold(answers=answers("yyy", "yyy", "nnn", "nnn")) == 200


def test_threshold_is_not_lost_by_one_level_with_bad_luck() -> None:
    unlucky = answers("yyy", "ynn", "yyy", "yyn", "nnn")
    assert most_by_level(unlucky) == 100
    assert threshold(answers=unlucky) == 400


def test_threshold_does_not_come_back_by_one_lucky_window() -> None:
    assert threshold(answers=answers("yyy", "nnn", "nnn", "ynn")) == 100


def test_threshold_of_a_stretch_with_half_of_the_windows_is_its_middle() -> None:
    assert threshold(answers=answers("yy", "yn", "yn", "nn")) == 200


def test_order_of_the_windows_does_not_matter() -> None:
    votes = answers("yyy", "yyn", "ynn", "nnn")
    assert threshold(answers=votes[::-1]) == threshold(answers=votes)
    assert bounds(answers=votes[::-1]) == bounds(answers=votes)


def test_nothing_taken_has_no_threshold_but_a_bound_above() -> None:
    votes = answers("nnn", "nnn", "nnn")
    assert threshold(answers=votes) is None
    assert bounds(answers=votes) == Bounds(low=0.0, high=100)


def test_all_taken_is_the_highest_or_more() -> None:
    votes = answers("yyy", "yyy", "yyy")
    assert threshold(answers=votes) == 300
    assert bounds(answers=votes) == Bounds(low=300, high=None)


def test_three_agreeing_windows_on_either_side_leave_no_doubt() -> None:
    votes = answers("yyy", "yyy", "nnn", "nnn")
    assert bounds(answers=votes) == Bounds(low=200, high=300)


def test_single_windows_leave_the_doubt_of_a_load_on_either_side() -> None:
    """A bootstrap within each load would have nothing to draw from."""
    assert bounds(answers=answers("y", "y", "y", "n", "n", "n")) == Bounds(low=200, high=500)


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="without windows"):
        bounds(answers=[])


@given(ANSWERS)
def test_interval_holds_the_threshold_whatever_the_answers(votes: list[Answer]) -> None:
    seen = bounds(answers=votes)
    at = threshold(answers=votes) or 0.0
    assert seen.low <= at
    assert seen.high is None or at < seen.high


def test_fit_is_nearer_to_the_truth_than_the_rule_before_it() -> None:
    """Control: the rule before, with its windows. The figures are those of
    docs/explanation/benchmarks.md."""
    was_off, was_spread = errors(most_by_level, EIGHT_OF_THREE)
    off, spread = errors(fit, knee_shares())
    assert was_off == pytest.approx(-0.10, abs=0.02)
    assert was_spread == pytest.approx(0.16, abs=0.02)
    assert off == pytest.approx(-0.025, abs=0.01)
    assert spread == pytest.approx(0.09, abs=0.01)


def test_windows_are_better_spent_on_many_loads_than_on_a_few() -> None:
    _, few = errors(fit, EIGHT_OF_THREE)
    _, many = errors(fit, knee_shares())
    assert many < 0.75 * few


def test_sweeps_are_better_than_one_ascent_where_moods_last() -> None:
    _, ascent = errors(fit, sorted(knee_shares()), lasts=0.7)
    _, sweeps = errors(fit, knee_shares(), lasts=0.7)
    assert sweeps < 0.9 * ascent


def test_interval_misses_the_truth_about_as_seldom_as_it_says() -> None:
    chance = random.Random(7)
    missed = 0
    for _ in range(3 * MACHINES):
        true = chance.uniform(0.55, 1.05)
        interval = bounds(answers=moody(true, knee_shares(), chance))
        missed += not interval.low <= true <= (interval.high or math.inf)
    assert 0.03 < missed / (3 * MACHINES) < 0.09
