import pytest

from checker.explorer.scheduling import (
    MOST_STEPS,
    Chance,
    GivenChoices,
    Player,
    read,
    shrink,
    written,
)
from tests.unit.explorer.toy import Toy


def test_written_deviations_are_read_again():
    assert read(written({8: 1, 3: 5})) == {3: 5, 8: 1}


def test_undisturbed_schedule_is_an_empty_text():
    assert written({}) == ""
    assert read("") == {}


@pytest.mark.parametrize("text", ["3", "3:", "a:b", "3:-1", "3:5,8:1"])
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="is not STEP:OPTION"):
        read(text)


def test_missing_option_is_left_out():
    assert GivenChoices({0: 7}).choose(step=0, count=3) == 0
    assert GivenChoices({0: 2}).choose(step=0, count=3) == 2


def choices(seed: str) -> list[int]:
    chance = Chance(seed)
    return [
        chance.choose(step=step, count=6) if chance.deviates(step=step) else 0
        for step in range(300)
    ]


def test_same_seed_chooses_the_same():
    assert choices("a") == choices("a")
    assert choices("a") != choices("b")


def test_chance_comes_to_every_option():
    assert set(choices("a")) == set(range(6))


def play(environment: Toy, deviations: dict[int, int]):
    return Player(environment=environment, chooser=GivenChoices(deviations), counts=True).play()


def test_undisturbed_schedule_takes_the_first_option_at_every_step():
    toy = Toy(steps=3)
    played = play(toy, {})
    assert toy.story == ["1", "1", "1"]
    assert (played.deviations, played.counts, played.kinds) == ({}, [3, 3, 3], [])


def test_each_variant_is_an_option_of_its_own():
    toy = Toy(steps=2)
    played = play(toy, {0: 1, 1: 2})
    assert toy.story == ["2", "3"]
    assert played.kinds == ["more", "more"]


def test_only_deviations_that_were_taken_are_kept():
    assert play(Toy(steps=2), {0: 9, 1: 1, 7: 1}).deviations == {1: 1}


def test_broken_environment_is_left_at_once():
    toy = Toy(steps=9, limit=2)
    assert play(toy, {}).breaches == ["2 is too much"]
    assert toy.story == ["1", "1"]


def test_schedule_that_never_ends_is_broken():
    endless = Toy(steps=MOST_STEPS + 1, limit=MOST_STEPS + 1)
    assert play(endless, {}).breaches == [f"not over after {MOST_STEPS} steps"]


def test_others_run_while_a_process_is_suspended_until_nothing_else_can():
    toy = Toy(steps=3, pauses=True)
    play(toy, {0: 3})
    assert toy.story == ["slow", "1", "1", "goes on"]


def test_suspended_process_resumes_earlier_by_choice():
    toy = Toy(steps=3, pauses=True)
    play(toy, {0: 3, 2: 1})
    assert toy.story == ["slow", "1", "goes on", "1"]


def test_story_has_every_step_and_the_state_after_it():
    lines: list[str] = []
    Player(environment=Toy(steps=2), chooser=GivenChoices({1: 2}), tell=lines.append).play()
    assert lines == ["   0  one", "        sum 1", "   1  3   [more]", "        sum 4"]


def test_deviations_that_do_not_matter_are_left_out():
    toy = Toy(steps=10, limit=11)
    failure = shrink(environment=toy, deviations=dict.fromkeys(range(10), 2))
    assert len(failure.deviations) == 1
    assert failure.breaches == ["11 is too much"]


def test_simpler_options_are_preferred():
    assert list(shrink(environment=Toy(limit=5), deviations={0: 2}).deviations.values()) == [1]


def test_short_schedule_stays_broken():
    toy = Toy(steps=3, limit=9)
    failure = shrink(environment=toy, deviations={0: 2, 1: 2, 2: 2})
    assert failure.deviations == {0: 2, 1: 2, 2: 2}
    assert Player(environment=toy, chooser=GivenChoices(failure.deviations)).play().breaches
