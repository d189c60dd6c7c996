import msgspec
import pytest

from envios.serializers import NewCourier
from loadtests.load import shopper
from loadtests.load.windows import Mix
from loadtests.load.workload import kinds_of
from pedidos.serializers import NewOrder, NewPurchase


def test_patterns_are_read_in_the_order_given() -> None:
    assert shopper.patterns(text="choreographed, orchestrated,choreographed") == [
        "choreographed",
        "orchestrated",
    ]


@pytest.mark.parametrize("text", ["", "orchestrated,nonsense"])
def test_wrong_patterns_are_named_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="choose from orchestrated, choreographed"):
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


@pytest.mark.parametrize("name", ["fulfilment", "shipment"])
def test_order_of_the_load_is_accepted_by_its_owner(name: str) -> None:
    body = shopper.order(products=["1", "2"], payment_method="credit_card")
    given = {**body, "saga": name, "user_id": "u", "saga_pattern": "choreographed"}
    order = msgspec.convert(given, NewOrder)
    assert (order.saga, order.lines()) == (name, [("1", 1), ("2", 1)])
    assert str(order.amount) == "39.98"
    assert msgspec.convert(shopper.courier(name="c", capacity=9), NewCourier).capacity == 9


def test_purchase_of_the_load_is_accepted_by_its_owner() -> None:
    body = shopper.purchase(user="u", products=["1", "2"], payment_method="credit_card")
    given = {**body, "saga": "purchase", "user_id": "u", "saga_pattern": "choreographed"}
    bought = msgspec.convert(given, NewPurchase)
    assert (bought.customer_id, str(bought.total_amount), bought.auto_confirm) == (
        "u",
        "39.98",
        True,
    )
    assert [item.product_id for item in bought.items()] == ["1", "2"]


def test_pattern_beside_itself_has_nothing_to_find() -> None:
    first, again = shopper.twice(pattern="choreographed", delay_ms=0)
    assert first != again
    assert {shopper.pattern_of(arm=first), shopper.pattern_of(arm=again)} == {"choreographed"}
    assert shopper.card_of(arm=first) == shopper.card_of(arm=again)


def test_delayed_arm_pays_with_the_card_that_takes_so_long() -> None:
    usual, slow = shopper.twice(pattern="orchestrated", delay_ms=2)
    assert slow == "orchestrated +2ms"
    assert (shopper.delay_ms_of(arm=usual), shopper.delay_ms_of(arm=slow)) == (0, 2)
    assert shopper.card_of(arm=usual) != shopper.card_of(arm=slow)
