"""What a survey measures: fair between the patterns, repeatable, and no longer than it says."""

from dataclasses import replace

import pytest

from loadtests import grid
from loadtests.grid import FITTED, HELD_OUT, Settings, windows
from loadtests.plan import Phase
from loadtests.remaining import AUDIT_SECONDS, START_SECONDS

SETTINGS = Settings(
    patterns=("orchestrated", "choreographed"),
    spots=(*FITTED, *HELD_OUT),
    loads=(10, 25, 75),
    refusals=(0, 0.3),
    seconds=grid.USUAL_SECONDS,
    seed=3,
)


def test_patterns_meet_the_same_arrivals_in_each_block() -> None:
    for spot in SETTINGS.spots:
        blocks: dict[int, list] = {}
        for one in windows(settings=SETTINGS, spot=spot):
            blocks.setdefault(one.block, []).append(one)
        for first, second in blocks.values():
            assert {first.pattern, second.pattern} == set(SETTINGS.patterns)
            assert (first.seed, first.rate, first.mix) == (second.seed, second.rate, second.mix)


def test_same_seed_gives_the_same_windows_and_another_one_does_not() -> None:
    other = replace(SETTINGS, seed=4)
    (spot, *_) = FITTED
    assert windows(settings=SETTINGS, spot=spot) == windows(settings=SETTINGS, spot=spot)
    assert windows(settings=SETTINGS, spot=spot) != windows(settings=other, spot=spot)


def test_full_load_comes_before_what_is_a_share_of_it() -> None:
    planned = windows(settings=SETTINGS, spot=FITTED[0])
    phases = [one.phase for one in planned]
    first_cell = phases.index(Phase.CELL)
    assert Phase.FULL in phases[:first_cell]
    assert set(phases[first_cell:]) == {Phase.CELL}


@pytest.mark.parametrize("input_of", ["rate", "refusals"])
def test_held_out_cells_lie_between_those_that_are_fitted(input_of) -> None:
    def values(spot) -> set[float]:
        cells = [one for one in windows(settings=SETTINGS, spot=spot) if one.phase is Phase.CELL]
        return {
            one.rate if input_of == "rate" else one.mix.declined
            for one in cells
            if one.rate or input_of != "rate"
        }

    fitted, held_out = values(FITTED[0]), values(HELD_OUT[0])
    between = held_out - fitted
    assert between
    assert min(fitted) < min(between)
    assert max(between) < max(fitted)


def test_held_out_spots_lie_between_the_corners() -> None:
    steps, hops = ([getattr(one, name) for one in FITTED] for name in ("steps", "hop_ms"))
    for one in HELD_OUT:
        assert min(steps) < one.steps < max(steps)
        assert min(hops) < one.hop_ms < max(hops)


def test_survey_of_two_patterns_takes_about_eleven_minutes() -> None:
    """With 2.5 s around each window: it is supplied, drained and left to rest."""
    planned = [one for spot in SETTINGS.spots for one in windows(settings=SETTINGS, spot=spot)]
    around = len(SETTINGS.spots) * (START_SECONDS + AUDIT_SECONDS)
    assert 9 * 60 < sum(one.seconds + 2.0 for one in planned) + around < 13 * 60
