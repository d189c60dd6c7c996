import pytest

from loadtests.evaluating.ramp import Level, next_rate
from loadtests.measuring.samples import NotMeasured


def test_level_is_saturated_when_the_shop_falls_behind() -> None:
    assert Level(offered=300, completed=240).is_saturated
    assert not Level(offered=300, completed=297).is_saturated


def test_next_rate_is_above_the_best_so_far() -> None:
    assert (
        next_rate(seen=[Level(offered=400, completed=200), Level(offered=260, completed=250)])
        == 325
    )


def test_next_rate_climbs_while_the_pattern_follows() -> None:
    seen = [Level(offered=100, completed=100)]
    rates = []
    for _ in range(4):
        rates.append(next_rate(seen=seen))
        capacity = 180
        seen.append(Level(offered=rates[-1], completed=min(rates[-1], capacity)))
    assert rates == [130, 169, 220, 234]


def test_nothing_completed_in_the_warm_up_is_an_error() -> None:
    with pytest.raises(NotMeasured, match="nothing was completed"):
        next_rate(seen=[Level(offered=100, completed=0)])
