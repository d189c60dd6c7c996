import pytest

from loadtests.evaluating.knee import Bounds, Level, bounds_of, knee_of, level_of
from loadtests.measuring.samples import Sample
from tests.unit.loadtests.builders import sample

SECONDS = 4.0


def _window(rate: float, *, capacity: float) -> list[Sample]:
    """Checkouts of a shop that takes 20 ms for each, up to a maximum per second."""
    free_at = 0.0
    checkouts = []
    for n in range(int(rate * SECONDS)):
        intended = n / rate
        free_at = max(free_at + 1 / capacity, intended)
        checkouts.append(sample(intended=intended, latency=free_at - intended + 0.02))
    return checkouts


def _level(rate: float, *, capacity: float = 100) -> Level:
    return level_of(samples=_window(rate, capacity=capacity), seconds=SECONDS)


def test_level_below_the_capacity_is_sustained() -> None:
    level = _level(80)
    assert level.is_sustained
    assert level.p50_ms == pytest.approx(20, abs=1)
    assert level.in_flight == pytest.approx(80 * 0.02, rel=0.1)


def test_slowly_growing_backlog_is_seen_though_all_complete() -> None:
    level = _level(110)
    assert level.completed > 95
    assert not level.is_sustained


def test_checkouts_that_fail_are_no_throughput() -> None:
    window = _window(50, capacity=100)
    failing = [*window[:-4], *[sample(intended=3.9, status=503)] * 4]
    assert not level_of(samples=failing, seconds=SECONDS).is_sustained


def test_knee_is_the_last_level_that_was_sustained() -> None:
    assert knee_of(levels=[_level(rate) for rate in (40, 80, 95, 120, 150)]) == 95


def test_most_windows_at_a_rate_decide() -> None:
    odd = _level(80, capacity=60)
    assert knee_of(levels=[_level(40), _level(80), _level(80), odd, _level(120)]) == 80


def test_knee_lies_within_its_interval() -> None:
    interval = bounds_of(levels=[_level(rate) for rate in (40, 60, 80, 95, 120, 150, 170)])
    assert interval == Bounds(low=80, high=150)


def test_shop_that_sustains_nothing_has_no_knee() -> None:
    nothing = [_level(120), _level(150)]
    assert knee_of(levels=nothing) is None
    assert bounds_of(levels=nothing) == Bounds(low=0, high=150)


def test_shop_that_sustains_all_has_the_highest_level_or_more() -> None:
    every = [_level(40), _level(80)]
    assert knee_of(levels=every) == 80
    assert bounds_of(levels=every) == Bounds(low=40, high=None)


def test_search_that_tried_nothing_found_nothing() -> None:
    assert knee_of(levels=[]) is None
    assert bounds_of(levels=[]) is None


def test_level_at_which_nothing_completed_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing completed"):
        level_of(samples=[sample(status=503)], seconds=SECONDS)
