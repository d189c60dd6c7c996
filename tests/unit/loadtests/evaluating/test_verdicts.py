import random
from math import sqrt

import pytest

from loadtests.evaluating.verdicts import (
    Conclusion,
    Figure,
    FigureVerdict,
    Interval,
    interval_of_mean,
    verdicts,
)
from loadtests.load.plan import BLOCKS


def _verdict(
    values: list[float], others: list[float], *, lower_is_better: bool = True
) -> FigureVerdict:
    figure = Figure(
        name="p50",
        unit="ms",
        lower_is_better=lower_is_better,
        blocks={"orchestrated": values, "choreographed": others},
    )
    return verdicts(figures=[figure])[0]


def test_clear_difference_is_found_with_its_bounds() -> None:
    verdict = _verdict([20, 21, 22, 20, 19, 21, 20, 22], [30, 31, 33, 29, 29, 32, 31, 32])
    assert verdict.decision is Conclusion.DIFFERS
    assert verdict.better == "orchestrated"
    assert verdict.difference is not None
    assert verdict.difference.low < 10.25 < verdict.difference.high
    assert verdict.ratio is not None
    assert verdict.ratio.low > 1.4


def test_more_of_a_good_thing_is_better() -> None:
    values = [100.0, 101, 99, 102, 100, 98, 101, 100]
    verdict = _verdict(values, [value + 50 for value in values[::-1]], lower_is_better=False)
    assert verdict.better == "choreographed"


def test_drift_that_meets_both_patterns_alike_hides_no_difference() -> None:
    drift = [20, 30, 45, 60, 80, 100, 140, 200]
    verdict = _verdict([factor * 1.0 for factor in drift], [factor * 1.2 for factor in drift])
    assert verdict.decision is Conclusion.DIFFERS
    assert verdict.ratio is not None
    assert verdict.ratio.estimate == pytest.approx(1.2)


def test_slow_minutes_hide_no_difference_that_every_window_has() -> None:
    """In ms the difference varies widely; as a share it is the same in all blocks."""
    mood = [20.0, 21, 90, 22, 20, 85, 21, 20]
    verdict = _verdict(mood, [factor * (1.1 + place % 2 / 50) for place, factor in enumerate(mood)])
    assert verdict.decision is Conclusion.DIFFERS


def test_difference_with_opposite_signs_as_a_share_and_in_ms_is_none() -> None:
    verdict = _verdict([20.0, 20, 20, 1000] * 4, [30.0, 31, 29, 950] * 4)
    assert verdict.ratio is not None
    assert verdict.difference is not None
    assert verdict.ratio.low > 1 > 0 > verdict.difference.estimate
    assert verdict.decision is Conclusion.UNDECIDED


def test_windows_that_are_close_enough_are_the_same() -> None:
    values = [20, 20.2, 19.9, 20.1, 20, 20.1, 20.2, 19.9]
    verdict = _verdict(values, values[::-1])
    assert verdict.decision is Conclusion.SAME
    assert "5%" in verdict.why


def test_real_difference_that_is_too_small_to_matter_counts_as_none() -> None:
    verdict = _verdict([20.0] * 8, [20.4] * 8)
    assert verdict.decision is Conclusion.SAME


def test_certain_difference_that_may_be_too_small_to_matter_is_reported_with_its_bounds() -> None:
    values = [20, 20.2, 19.9, 20.1, 20, 20.1, 20.2, 19.9]
    verdict = _verdict(values, [value * 1.049 for value in values[::-1]])
    assert verdict.ratio is not None
    assert 1 < verdict.ratio.low < 1.05 < verdict.ratio.high
    assert verdict.decision is Conclusion.DIFFERS
    assert verdict.better == "orchestrated"


def test_noise_larger_than_the_difference_is_not_enough_data() -> None:
    verdict = _verdict([20, 30, 25, 18, 29, 22, 25, 21], [24, 22, 31, 25, 20, 30, 19, 27])
    assert verdict.decision is Conclusion.UNDECIDED
    assert "run longer" in verdict.why


def test_few_blocks_decide_nothing_however_far_apart() -> None:
    verdict = _verdict([100, 101], [1, 2])
    assert verdict.decision is Conclusion.UNDECIDED
    assert "8 are needed" in verdict.why


def test_checkouts_that_never_end_decide_nothing() -> None:
    verdict = _verdict([20.0] * 8, [float("inf"), *[20.0] * 7])
    assert verdict.decision is Conclusion.UNDECIDED
    assert "not every checkout" in verdict.why


def test_windows_without_their_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        _verdict([1.0] * 8, [1.0] * 9)


def test_every_pair_of_three_patterns_is_compared_at_a_shared_risk() -> None:
    blocks = {name: [10.0, 11, 12, 10, 11, 12, 10, 11] for name in ("one", "two", "three")}
    figure = Figure(name="p50", unit="ms", lower_is_better=True, blocks=blocks)
    compared = verdicts(figures=[figure])
    assert [(each.first, each.second) for each in compared] == [
        ("one", "two"),
        ("one", "three"),
        ("two", "three"),
    ]
    assert compared[0].confidence == pytest.approx(1 - 0.05 / 3)


def _run(chance: random.Random, factor: float) -> list[FigureVerdict]:
    """Five figures of two patterns, over the blocks of a run, with 4 % noise per window."""
    noise = [[chance.lognormvariate(0, 0.04) for _ in range(BLOCKS)] for _ in range(10)]
    return verdicts(
        figures=[
            Figure(
                name=f"figure {place}",
                unit="ms",
                lower_is_better=True,
                blocks={
                    "A": [20 * share for share in noise[2 * place]],
                    "B": [20 * factor * share for share in noise[2 * place + 1]],
                },
            )
            for place in range(5)
        ]
    )


def test_pattern_against_itself_differs_in_at_most_one_run_of_twenty() -> None:
    chance = random.Random(3)
    wrong = sum(
        any(verdict.decision is Conclusion.DIFFERS for verdict in _run(chance, 1.0))
        for _ in range(60)
    )
    assert wrong <= 3


def test_difference_of_a_fifth_is_found_in_nine_runs_of_ten() -> None:
    """Control of the test above: the rule does find differences."""
    chance = random.Random(4)
    differing = sum(_run(chance, 1.2)[0].decision is Conclusion.DIFFERS for _ in range(20))
    assert differing >= 18


def test_interval_holds_the_mean_of_its_values() -> None:
    interval = interval_of_mean(values=[1.0, 2.0, 4.0, 3.0, 2.5, 1.5], confidence=0.95)
    assert interval.low < interval.estimate < interval.high
    assert interval.estimate == pytest.approx(14 / 6)


def test_interval_is_the_same_for_the_same_values() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    first = interval_of_mean(values=values, confidence=0.99)
    assert interval_of_mean(values=values, confidence=0.99) == first


def test_interval_is_wider_for_more_confidence() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    narrow, wide = (
        interval_of_mean(values=values, confidence=confidence) for confidence in (0.8, 0.99)
    )
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_interval_leans_to_the_side_of_a_long_tail() -> None:
    interval = interval_of_mean(values=[1, 1.1, 1.2, 0.9, 1, 1.1, 0.8, 6], confidence=0.95)
    assert interval.high - interval.estimate > interval.estimate - interval.low


def test_equal_values_leave_no_doubt() -> None:
    interval = interval_of_mean(values=[2.0] * 5, confidence=0.99)
    assert interval == Interval(estimate=2.0, low=2.0, high=2.0)


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
        interval = interval_of_mean(values=values, confidence=0.95)
        missed += not interval.holds(0)
        half = 1.96 * sqrt(sum((value - interval.estimate) ** 2 for value in values) / 8) / sqrt(8)
        too_sure += abs(interval.estimate) > half
    assert missed / runs < 0.09
    assert too_sure > missed
