from collections import Counter
from dataclasses import replace

from loadtests.plan import BLOCKS, Phase, Window, windows
from tests.unit.loadtests.builders import SETTINGS

MEASURED = (Phase.LIGHT, Phase.FULL)


def test_plan_is_the_same_for_the_same_seed() -> None:
    assert windows(SETTINGS) == windows(SETTINGS)


def test_plan_puts_the_patterns_in_another_order_for_another_seed() -> None:
    orders = {
        tuple(one.pattern for one in windows(replace(SETTINGS, seed=seed))) for seed in range(10)
    }
    assert len(orders) > 5


def test_plan_gives_each_pattern_the_same_windows() -> None:
    planned = Counter((one.phase, one.pattern, one.rate, one.seconds) for one in windows(SETTINGS))
    for (phase, pattern, rate, seconds), count in planned.items():
        other = {"orchestrated": "choreographed", "choreographed": "orchestrated"}[pattern]
        assert planned[phase, other, rate, seconds] == count
        assert phase not in MEASURED or count == BLOCKS


def test_plan_alternates_the_patterns_in_blocks_with_the_same_arrivals() -> None:
    planned = windows(SETTINGS)
    blocks = [planned[place : place + 2] for place in range(0, len(planned), 2)]
    assert all({one.pattern for one in block} == set(SETTINGS.patterns) for block in blocks)
    assert all(len({(one.seed, one.phase) for one in block}) == 1 for block in blocks)


def test_plan_spends_the_seconds_asked_for_on_each_pattern() -> None:
    timed = sum(
        one.seconds
        for one in windows(SETTINGS)
        if one.phase is not Phase.WARM_UP and one.pattern == "orchestrated"
    )
    assert round(timed, 9) == SETTINGS.seconds


def test_only_windows_of_failures_have_them() -> None:
    failing = [one for one in windows(SETTINGS) if one.mix.declined or one.mix.scarce]
    assert {one.phase for one in failing} == {Phase.FAILURES}
    assert {one.mix.declined for one in failing} == {SETTINGS.declined}


def test_windows_are_numbered_in_their_order() -> None:
    planned: list[Window] = windows(SETTINGS)
    assert [one.number for one in planned] == list(range(1, len(planned) + 1))
