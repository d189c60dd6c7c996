"""A decision in words."""

from loadtests.drawing import verdicts
from loadtests.drawing.stored import Verdict
from loadtests.evaluating.verdicts import Interval


def _decided(*, better: str, difference: Interval, ratio: Interval) -> str:
    return verdicts.sentence(
        Verdict(
            figure="p50 at light load",
            unit="ms",
            first="orchestrated",
            second="choreographed",
            decision="differs",
            better=better,
            difference=difference,
            ratio=ratio,
        )
    )


def test_difference_that_may_be_none_in_ms_says_so_with_its_sign() -> None:
    said = _decided(
        better="orchestrated",
        difference=Interval(estimate=3.0, low=-0.5, high=6.5),
        ratio=Interval(estimate=1.1, low=1.02, high=1.2),
    )
    assert "3.00 ms less than choreographed [-0.50 to 6.50]" in said


def test_bounds_are_of_the_better_one_whichever_it_is() -> None:
    said = _decided(
        better="choreographed",
        difference=Interval(estimate=-3.0, low=-5.0, high=-1.0),
        ratio=Interval(estimate=0.9, low=0.85, high=0.97),
    )
    assert "Choreographed: 3.00 ms less than orchestrated [1.00 to 5.00]" in said
