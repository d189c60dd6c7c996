from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loadtests.comparing import outage_seconds
from loadtests.load.plan import (
    BLOCKS,
    FULL_BLOCKS,
    KNEE_LEAST,
    KNEE_LOADS,
    KNEE_MOST,
    KNEE_SWEEPS,
    USUAL_SECONDS,
    holds,
    windows,
)
from loadtests.load.windows import FULL_AUDIT_SECONDS, START_SECONDS, Remaining, Window, WindowPhase
from tests.unit.loadtests.builders import SETTINGS

MEASURED = {WindowPhase.LIGHT: BLOCKS, WindowPhase.FULL: FULL_BLOCKS}


def test_plan_is_the_same_for_the_same_seed() -> None:
    assert windows(SETTINGS) == windows(SETTINGS)


def test_plan_puts_the_patterns_in_another_order_for_another_seed() -> None:
    orders = {
        tuple(window.pattern for window in windows(replace(SETTINGS, seed=seed)))
        for seed in range(10)
    }
    assert len(orders) > 5


def test_plan_gives_each_pattern_the_same_windows() -> None:
    planned = Counter(
        (window.phase, window.pattern, window.rate, window.seconds) for window in windows(SETTINGS)
    )
    for (phase, pattern, rate, seconds), count in planned.items():
        other = {"orchestrated": "choreographed", "choreographed": "orchestrated"}[pattern]
        assert planned[phase, other, rate, seconds] == count
        assert count == MEASURED.get(phase, count)


def test_plan_alternates_the_patterns_in_blocks_with_the_same_arrivals() -> None:
    planned = windows(SETTINGS)
    blocks = [planned[place : place + 2] for place in range(0, len(planned), 2)]
    assert all({each.pattern for each in block} == set(SETTINGS.patterns) for block in blocks)
    assert all(len({(each.seed, each.phase) for each in block}) == 1 for block in blocks)


def test_plan_turns_the_order_around_from_block_to_block() -> None:
    planned = windows(SETTINGS)
    orders = [[each.pattern for each in planned[place : place + 2]] for place in range(0, 24, 2)]
    assert all(
        next_order == order[::-1]
        for order, next_order in zip(orders[::2], orders[1::2], strict=True)
    )


def test_plan_spends_the_seconds_asked_for_on_each_pattern() -> None:
    timed = sum(
        window.seconds
        for window in windows(SETTINGS)
        if window.phase is not WindowPhase.WARM_UP and window.pattern == "orchestrated"
    )
    assert round(timed, 9) == SETTINGS.seconds


def test_only_windows_of_failures_have_them() -> None:
    failing = [window for window in windows(SETTINGS) if window.mix.declined or window.mix.scarce]
    assert {each.phase for each in failing} == {WindowPhase.FAILURES}
    assert {each.mix.declined for each in failing} == {SETTINGS.declined}


def test_windows_are_numbered_in_their_order() -> None:
    planned: list[Window] = windows(SETTINGS)
    assert [each.number for each in planned] == list(range(1, len(planned) + 1))


FULL = replace(SETTINGS, is_full=True)


def test_full_run_has_every_phase_and_looks_for_the_knee_before_it_is_needed() -> None:
    phases = list(dict.fromkeys(window.phase for window in windows(FULL)))
    assert set(phases) == set(WindowPhase) - {WindowPhase.CELL}
    assert (
        phases.index(WindowPhase.FULL)
        < phases.index(WindowPhase.KNEE)
        < phases.index(WindowPhase.LEVELS)
    )


def test_full_run_pauses_only_where_it_says_so() -> None:
    paused = {window.phase for window in windows(FULL) if window.pause_seconds}
    assert paused == {WindowPhase.PAUSE}


def test_search_for_the_knee_sweeps_over_its_whole_range_again_and_again() -> None:
    shares = [
        window.share
        for window in windows(FULL)
        if window.phase is WindowPhase.KNEE and window.pattern == "orchestrated"
    ]
    assert len(set(shares)) == len(shares) == KNEE_LOADS
    assert (min(shares), max(shares)) == pytest.approx((KNEE_LEAST, KNEE_MOST))
    sweep = KNEE_LOADS // KNEE_SWEEPS
    for start in range(0, KNEE_LOADS, sweep):
        ascending = shares[start : start + sweep]
        assert ascending == sorted(ascending)
        assert ascending[0] < 0.5 < 1.1 < ascending[-1]


def _light_blocks(patterns: Sequence[str]) -> int:
    planned = windows(replace(FULL, patterns=patterns, seconds=USUAL_SECONDS))
    return sum(each.phase is WindowPhase.LIGHT for each in planned) // len(patterns)


def test_light_load_of_a_full_run_has_the_time_that_other_phases_leave() -> None:
    of_two, of_three = _light_blocks(("A", "B")), _light_blocks(("A", "B", "C"))
    assert of_two > 2 * of_three > 2 * BLOCKS


def test_light_load_of_a_full_run_has_never_less_blocks_than_a_usual_one() -> None:
    assert _light_blocks([str(number) for number in range(10)]) == BLOCKS


@pytest.mark.parametrize("patterns", [("A", "B"), ("A", "B", "C")])
def test_full_run_fits_into_35_minutes(patterns: Sequence[str]) -> None:
    settings = replace(FULL, patterns=patterns, seconds=USUAL_SECONDS)
    after = FULL_AUDIT_SECONDS + outage_seconds(settings=settings)
    took = START_SECONDS + Remaining(after=after).seconds(to_come=windows(settings))
    assert took < 35 * 60


def test_run_continues_only_with_the_plan_that_it_was_begun_with() -> None:
    planned = windows(SETTINGS)
    measured = [replace(each, rate=400.0) for each in planned[:6]]
    assert holds(known=measured, settings=SETTINGS)
    assert not holds(known=measured, settings=replace(SETTINGS, seed=SETTINGS.seed + 1))
    assert not holds(known=measured, settings=replace(SETTINGS, is_full=True))
