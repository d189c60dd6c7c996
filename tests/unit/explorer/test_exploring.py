import pytest

from checker.explorer.exploring import ALL, Explored, Explorer, Portion, merged
from tests.unit.explorer.toy import Toy


def explored(toy: Toy, *, schedules: int, share: Portion = ALL, seed: int = 1) -> Explored:
    explorer = Explorer(
        environments={"toy": toy}, schedules=schedules, seed=seed, share=share, deviations=4
    )
    return explorer.explore()


def test_all_schedules_with_few_deviations_are_played():
    """Four steps, two deviations each: 1, 8 with one, 24 with two, 32 with three, 16 with all."""
    result = explored(Toy(), schedules=81)
    assert result.levels == {"toy": 4}
    assert len(result.keys) == result.played == 81


def test_level_that_does_not_fit_is_left_to_chance():
    result = explored(Toy(steps=9), schedules=60)
    assert result.levels == {"toy": 1}
    assert len(result.keys) == 60


def test_schedules_that_were_played_before_do_not_count():
    result = explored(Toy(steps=1), schedules=50)
    assert len(result.keys) == 3
    assert result.played > 3


def test_same_seed_plays_the_same_schedules():
    assert explored(Toy(), schedules=40).keys == explored(Toy(), schedules=40).keys
    assert explored(Toy(), schedules=40).keys != explored(Toy(), schedules=40, seed=2).keys


@pytest.mark.parametrize("of", [2, 3])
def test_shares_together_play_all_schedules(of):
    parts = [explored(Toy(), schedules=81 * of, share=Portion(number, of)) for number in range(of)]
    result = merged(parts)
    assert result.levels == {"toy": 4}
    assert result.keys >= explored(Toy(), schedules=81).keys


def test_first_failure_ends_it_and_is_made_short():
    toy = Toy(steps=8, limit=12)
    result = explored(toy, schedules=100_000)
    assert result.failure is not None
    assert result.failure.breaches == ["12 is too much"]
    assert sum(result.failure.deviations.values()) == 4
    assert result.played < 100_000


def test_kinds_of_faults_are_counted_once_a_schedule():
    result = explored(Toy(steps=2), schedules=9)
    assert result.kinds["more"] == len(result.keys) - 1
