import random
from math import sqrt

import pytest

from loadtests.evaluating.bootstrap import Interval, interval_of_mean


def test_interval_holds_the_mean_of_its_values() -> None:
    found = interval_of_mean(values=[1.0, 2.0, 4.0, 3.0, 2.5, 1.5], confidence=0.95)
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(14 / 6)


def test_interval_is_the_same_for_the_same_values() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    first = interval_of_mean(values=values, confidence=0.99)
    assert interval_of_mean(values=values, confidence=0.99) == first


def test_interval_is_wider_for_more_confidence() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    narrow, wide = (interval_of_mean(values=values, confidence=one) for one in (0.8, 0.99))
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_interval_leans_to_the_side_of_a_long_tail() -> None:
    found = interval_of_mean(values=[1, 1.1, 1.2, 0.9, 1, 1.1, 0.8, 6], confidence=0.95)
    assert found.high - found.estimate > found.estimate - found.low


def test_equal_values_leave_no_doubt() -> None:
    found = interval_of_mean(values=[2.0] * 5, confidence=0.99)
    assert found == Interval(estimate=2.0, low=2.0, high=2.0)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="1 values"):
        interval_of_mean(values=[1.0], confidence=0.95)


def test_interval_misses_the_true_mean_about_as_seldom_as_it_says() -> None:
    """Control: the plain rule of 1.96 standard errors misses three times as often here."""
    chance = random.Random(7)
    missed = too_sure = 0
    runs = 300
    for _ in range(runs):
        values = [chance.gauss(0, 1) for _ in range(8)]
        found = interval_of_mean(values=values, confidence=0.95)
        missed += not found.holds(0)
        half = 1.96 * sqrt(sum((one - found.estimate) ** 2 for one in values) / 8) / sqrt(8)
        too_sure += abs(found.estimate) > half
    assert missed / runs < 0.09
    assert too_sure > missed
