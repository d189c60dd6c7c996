from dataclasses import replace

import pytest

from loadtests.evaluating.rates import is_steady, levels_of, next_rate, rate_for
from loadtests.evaluating.results import Measured, Throughput
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import NotMeasured
from tests.unit.loadtests.builders import measured, window


def _full(pattern: str, took: float) -> Measured:
    """100 checkouts offered within a second, all ended after this many seconds."""
    latencies = [took - n / 100 for n in range(100)]
    return measured(
        of=window(phase=WindowPhase.FULL, pattern=pattern, rate=100), latencies=latencies
    )


def _knee(pattern: str, rate: float, latency: float) -> Measured:
    of = window(phase=WindowPhase.KNEE, pattern=pattern, rate=rate)
    return measured(of=of, latencies=[latency] * int(rate * of.seconds))


def _warm_up(pattern: str, latency: float) -> Measured:
    return measured(of=window(phase=WindowPhase.WARM_UP, pattern=pattern), latencies=[latency] * 50)


def _asked(phase: WindowPhase, share: float) -> object:
    return replace(window(phase=phase, rate=0), share=share)


def test_rate_that_was_planned_stays() -> None:
    assert rate_for(window=window(rate=25), seen=[]) == 25


def test_full_load_is_above_the_best_so_far() -> None:
    of = replace(window(phase=WindowPhase.FULL), rate=0)
    assert rate_for(window=of, seen=[_full("orchestrated", 2)]) == 65


def test_knee_is_looked_for_at_shares_of_the_pattern_s_own_capacity() -> None:
    seen = [_full("orchestrated", 2), _full("choreographed", 1)]
    assert rate_for(window=_asked(WindowPhase.KNEE, 0.5), seen=seen) == 25


def test_levels_are_shares_of_the_lowest_knee() -> None:
    seen = [
        *[_knee("orchestrated", rate, 0.02) for rate in (40, 80)],
        _knee("choreographed", 40, 0.02),
        _knee("choreographed", 80, 3.0),
    ]
    assert rate_for(window=_asked(WindowPhase.LEVELS, 0.5), seen=seen) == 20


def test_knee_is_measured_only_after_full_load() -> None:
    with pytest.raises(NotMeasured, match="full load"):
        rate_for(window=_asked(WindowPhase.KNEE, 0.5), seen=[])


def test_levels_are_in_order_of_what_was_offered() -> None:
    seen = [_knee("orchestrated", rate, 0.02) for rate in (80, 40, 60)]
    levels = levels_of(measured=seen, pattern="orchestrated")
    assert [level.offered for level in levels] == [40, 60, 80]


def test_latency_that_hardly_changes_is_steady() -> None:
    seen = [
        *[_warm_up("orchestrated", latency) for latency in (0.05, 0.02, 0.021)],
        *[_warm_up("choreographed", latency) for latency in (0.05, 0.03, 0.029)],
    ]
    assert is_steady(seen=seen)


def test_latency_that_still_falls_in_one_pattern_is_not() -> None:
    seen = [
        *[_warm_up("orchestrated", latency) for latency in (0.02, 0.02)],
        *[_warm_up("choreographed", latency) for latency in (0.05, 0.03)],
    ]
    assert not is_steady(seen=seen)


def test_single_window_does_not_show_steadiness() -> None:
    assert not is_steady(seen=[_warm_up("orchestrated", 0.02)])
    assert not is_steady(seen=[])


def test_level_is_saturated_when_the_shop_falls_behind() -> None:
    assert Throughput(offered=300, completed=240).is_saturated
    assert not Throughput(offered=300, completed=297).is_saturated


def test_next_rate_is_above_the_best_so_far() -> None:
    assert (
        next_rate(
            seen=[Throughput(offered=400, completed=200), Throughput(offered=260, completed=250)]
        )
        == 325
    )


def test_next_rate_climbs_while_the_pattern_follows() -> None:
    seen = [Throughput(offered=100, completed=100)]
    rates = []
    for _ in range(4):
        rates.append(next_rate(seen=seen))
        capacity = 180
        seen.append(Throughput(offered=rates[-1], completed=min(rates[-1], capacity)))
    assert rates == [130, 169, 220, 234]


def test_nothing_completed_in_the_warm_up_is_an_error() -> None:
    with pytest.raises(NotMeasured, match="nothing was completed"):
        next_rate(seen=[Throughput(offered=100, completed=0)])
