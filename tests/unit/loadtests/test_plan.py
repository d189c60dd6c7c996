from collections import Counter
from dataclasses import replace

from loadtests.plan import BLOCKS, FULL_BLOCKS, Phase, Window, windows
from tests.unit.loadtests.builders import SETTINGS

MEASURED = {Phase.LIGHT: BLOCKS, Phase.FULL: FULL_BLOCKS}


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
        assert count == MEASURED.get(phase, count)


def test_plan_alternates_the_patterns_in_blocks_with_the_same_arrivals() -> None:
    planned = windows(SETTINGS)
    blocks = [planned[place : place + 2] for place in range(0, len(planned), 2)]
    assert all({one.pattern for one in block} == set(SETTINGS.patterns) for block in blocks)
    assert all(len({(one.seed, one.phase) for one in block}) == 1 for block in blocks)


def test_plan_turns_the_order_around_from_block_to_block() -> None:
    planned = windows(SETTINGS)
    orders = [[one.pattern for one in planned[place : place + 2]] for place in range(0, 24, 2)]
    assert all(two == one[::-1] for one, two in zip(orders[::2], orders[1::2], strict=True))


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


FULL = replace(SETTINGS, is_full=True)


def test_full_run_has_every_phase_and_looks_for_the_knee_before_it_is_needed() -> None:
    phases = list(dict.fromkeys(one.phase for one in windows(FULL)))
    assert set(phases) == set(Phase) - {Phase.CELL}
    assert phases.index(Phase.FULL) < phases.index(Phase.KNEE) < phases.index(Phase.LEVELS)


def test_full_run_pauses_only_where_it_says_so() -> None:
    paused = {one.phase for one in windows(FULL) if one.pause_seconds}
    assert paused == {Phase.PAUSE}
