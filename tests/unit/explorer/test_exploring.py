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
    found = explored(Toy(), schedules=81)
    assert found.levels == {"toy": 4}
    assert len(found.keys) == found.played == 81


def test_level_that_does_not_fit_is_left_to_chance():
    found = explored(Toy(steps=9), schedules=60)
    assert found.levels == {"toy": 1}
    assert len(found.keys) == 60


def test_schedules_that_were_played_before_do_not_count():
    found = explored(Toy(steps=1), schedules=50)
    assert len(found.keys) == 3
    assert found.played > 3


def test_same_seed_plays_the_same_schedules():
    assert explored(Toy(), schedules=40).keys == explored(Toy(), schedules=40).keys
    assert explored(Toy(), schedules=40).keys != explored(Toy(), schedules=40, seed=2).keys


@pytest.mark.parametrize("of", [2, 3])
def test_shares_make_up_the_whole(of):
    parts = [explored(Toy(), schedules=81 * of, share=Portion(number, of)) for number in range(of)]
    whole = merged(parts)
    assert whole.levels == {"toy": 4}
    assert whole.keys >= explored(Toy(), schedules=81).keys


def test_first_failure_ends_it_and_is_made_short():
    toy = Toy(steps=8, limit=12)
    found = explored(toy, schedules=100_000)
    assert found.failure is not None
    assert found.failure.breaches == ["12 is too much"]
    assert sum(found.failure.deviations.values()) == 4
    assert found.played < 100_000


def test_kinds_of_faults_are_counted_once_a_schedule():
    found = explored(Toy(steps=2), schedules=9)
    assert found.kinds["more"] == len(found.keys) - 1
