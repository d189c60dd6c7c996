"""Whether a pattern kept up with the load, and how much more is offered then."""

import pytest

from loadtests.evaluating.results import Measured
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import NotMeasured
from loadtests.surveying.cells import (
    ended_per_second,
    is_saturated,
    overload,
    share_of_slowest,
    unsaturated,
)
from tests.unit.loadtests.builders import measured, sample, window

PATTERN = "orchestrated"


def _full(*, rate: float, most: float, distance: float = 0.0, pattern: str = PATTERN) -> Measured:
    """A second of full load for a pattern that can do `most` a second, each outcome `distance`
    seconds later than without a hop."""
    ends, free = [], 0.0
    for number in range(int(rate)):
        free = max(free, number / rate) + 1 / most
        ends.append(free - number / rate + distance)
    return measured(of=window(phase=WindowPhase.FULL, pattern=pattern, rate=rate), latencies=ends)


def test_outcomes_are_counted_without_the_distance_of_the_first() -> None:
    near, far = (_full(rate=200, most=100, distance=distance) for distance in (0, 2))
    assert ended_per_second(samples=near.samples) == pytest.approx(100, rel=0.01)
    assert ended_per_second(samples=far.samples) == pytest.approx(100, rel=0.01)


def test_rate_is_zero_where_nothing_ended() -> None:
    assert ended_per_second(samples=[sample(ended=False)] * 5) == 0


@pytest.mark.parametrize("distance", [0.0, 2.0])
def test_pattern_is_saturated_by_more_than_it_can_do_however_far_away(distance) -> None:
    assert is_saturated(measured=_full(rate=130, most=100, distance=distance))
    assert not is_saturated(measured=_full(rate=90, most=100, distance=distance))


def test_queue_that_grows_to_what_the_load_needs_is_no_saturation() -> None:
    """Latency goes from 1.0 to 1.07 s over a second."""
    grown = [1.0 + 0.07 * n / 100 for n in range(100)]
    result = measured(of=window(phase=WindowPhase.FULL, rate=100), latencies=grown)
    assert ended_per_second(samples=result.samples) < 95
    assert not is_saturated(measured=result)


def test_pattern_that_follows_is_offered_a_third_more_than_that_although_it_is_far_away() -> None:
    seen = [_full(rate=100, most=1000, distance=2)]
    assert overload(pattern=PATTERN, seen=seen) == pytest.approx(130, abs=2)


def test_rush_of_outcomes_is_no_load_that_was_followed() -> None:
    """100 started within a second, and ended within a tenth of one."""
    rushed = measured(
        of=window(phase=WindowPhase.FULL, rate=100),
        latencies=[2 - n / 100 * 0.9 for n in range(100)],
    )
    assert ended_per_second(samples=rushed.samples) > 900
    assert overload(pattern=PATTERN, seen=[rushed]) == 130


def test_cells_are_shares_of_what_the_slowest_can_do() -> None:
    seen = [
        _full(rate=260, most=200, distance=1),
        _full(rate=260, most=100, distance=1, pattern="choreographed"),
    ]
    both = (PATTERN, "choreographed")
    rate = share_of_slowest(share=0.6, patterns=both, seen=seen)
    assert rate == pytest.approx(60, abs=1)


def test_share_of_what_was_never_measured_is_refused() -> None:
    with pytest.raises(NotMeasured, match="choreographed ended nothing"):
        share_of_slowest(share=0.6, patterns=("choreographed",), seen=[_full(rate=130, most=100)])


def test_pattern_that_was_saturated_once_is_not_offered_more() -> None:
    seen = [
        _full(rate=90, most=100),
        _full(rate=130, most=100),
        _full(rate=90, most=100, pattern="choreographed"),
    ]
    both = (PATTERN, "choreographed")
    assert unsaturated(patterns=both, seen=seen) == ["choreographed"]
