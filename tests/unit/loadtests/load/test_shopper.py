import pytest

from loadtests.load import shopper
from loadtests.load.windows import Mix
from loadtests.load.workload import kinds_of


def test_patterns_are_read_in_the_order_given() -> None:
    assert shopper.patterns(text="choreographed, orchestrated,choreographed") == [
        "choreographed",
        "orchestrated",
    ]


@pytest.mark.parametrize("text", ["", "orchestrated,nonsense"])
def test_wrong_patterns_are_named_with_those_that_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="there are orchestrated, choreographed"):
        shopper.patterns(text=text)


def test_declined_card_is_expected_to_be_compensated() -> None:
    assert shopper.is_expected(payment_method=shopper.DECLINED_CARD, status="compensated")
    assert not shopper.is_expected(payment_method=shopper.DECLINED_CARD, status="completed")
    assert shopper.is_expected(payment_method=shopper.GOOD_CARD, status="completed")
    assert not shopper.is_expected(payment_method=shopper.GOOD_CARD, status="pending")


def test_mix_has_exactly_its_shares_in_an_order_of_the_seed() -> None:
    mix = Mix(declined=0.2, scarce=0.1)
    kinds = kinds_of(mix=mix, count=50, seed=1)
    assert (kinds.count("declined"), kinds.count("scarce"), len(kinds)) == (10, 5, 50)
    assert kinds == kinds_of(mix=mix, count=50, seed=1)
    assert kinds != kinds_of(mix=mix, count=50, seed=2)


def test_mix_of_nothing_special_is_all_good() -> None:
    assert set(kinds_of(mix=Mix(), count=20, seed=1)) == {"good"}
