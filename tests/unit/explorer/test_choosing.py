import pytest

from checker.explorer.choosing import Chance, Given, read, written


def test_written_deviations_are_read_again():
    assert read(written({8: 1, 3: 5})) == {3: 5, 8: 1}


def test_undisturbed_schedule_is_an_empty_text():
    assert written({}) == ""
    assert read("") == {}


@pytest.mark.parametrize("text", ["3", "3:", "a:b", "3:-1", "3:5,8:1"])
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="is not STEP:OPTION"):
        read(text)


def test_option_that_is_not_there_is_left_out():
    assert Given({0: 7}).choose(step=0, count=3) == 0
    assert Given({0: 2}).choose(step=0, count=3) == 2


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
