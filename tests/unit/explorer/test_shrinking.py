from checker.explorer.choosing import Given
from checker.explorer.scheduling import Player
from checker.explorer.shrinking import shrink
from tests.unit.explorer.toy import Toy


def test_deviations_that_do_not_matter_are_left_out():
    toy = Toy(steps=10, limit=11)
    found = shrink(world=toy, deviations=dict.fromkeys(range(10), 2))
    assert len(found.deviations) == 1
    assert found.breaches == ["11 is too much"]


def test_simpler_options_are_preferred():
    assert list(shrink(world=Toy(limit=5), deviations={0: 2}).deviations.values()) == [1]


def test_what_is_short_already_stays_broken():
    toy = Toy(steps=3, limit=9)
    found = shrink(world=toy, deviations={0: 2, 1: 2, 2: 2})
    assert found.deviations == {0: 2, 1: 2, 2: 2}
    assert Player(world=toy, chooser=Given(found.deviations)).play().breaches
