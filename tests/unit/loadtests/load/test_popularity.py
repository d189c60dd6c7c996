"""The products in carts, with popular ones."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from loadtests.load.plan import ZIPF, windows
from loadtests.load.windows import WindowPhase
from loadtests.load.workload import LINES, PRODUCTS, chosen, popularity
from tests.unit.loadtests.builders import SETTINGS

PRODUCT_IDS = [str(number) for number in range(PRODUCTS)]


def _carts(exponent: float, *, count: int = 4_000, seed: int = 3) -> list[list[str]]:
    weights = popularity(count=PRODUCTS, exponent=exponent)
    chance = random.Random(seed)
    return [chosen(of=PRODUCT_IDS, weights=weights, chance=chance) for _ in range(count)]


def test_nth_product_is_wanted_as_often_as_the_law_says() -> None:
    weights = popularity(count=4, exponent=0.5)
    assert weights == pytest.approx([1, 0.7071, 0.5774, 0.5], abs=1e-4)


def test_popular_product_is_in_many_carts_and_in_few_where_all_are_alike() -> None:
    first = popularity(count=PRODUCTS, exponent=ZIPF)
    share = first[0] / sum(first)
    in_carts = {
        exponent: sum("0" in cart for cart in _carts(exponent)) / 4_000 for exponent in (0.0, ZIPF)
    }
    assert in_carts[0.0] == pytest.approx(LINES / PRODUCTS, abs=0.01)
    assert share < in_carts[ZIPF] < LINES * share


def test_cart_never_holds_a_product_twice() -> None:
    assert {len(set(cart)) for cart in _carts(3.0)} == {LINES}


def test_carts_follow_from_the_seed() -> None:
    assert _carts(ZIPF, count=9) == _carts(ZIPF, count=9)
    assert _carts(ZIPF, count=9) != _carts(ZIPF, count=9, seed=4)


def test_full_run_has_popular_products_in_windows_of_their_own_only() -> None:
    planned = windows(replace(SETTINGS, is_full=True))
    popular = (WindowPhase.ZIPF, WindowPhase.ZIPF_FULL)
    exponents = Counter((each.phase in popular, each.mix.zipf) for each in planned)
    assert set(exponents) == {(True, ZIPF), (False, 0.0)}


def test_popularity_that_is_asked_for_is_that_of_all_but_the_hot_windows() -> None:
    planned = windows(replace(SETTINGS, is_full=True, zipf=0.5))
    exponents = {each.phase: each.mix.zipf for each in planned}
    assert (exponents.pop(WindowPhase.HOT), exponents.pop(WindowPhase.ZIPF)) == (0.0, ZIPF)
    full = (exponents.pop(WindowPhase.HOT_FULL), exponents.pop(WindowPhase.ZIPF_FULL))
    assert full == (0.0, ZIPF)
    assert set(exponents.values()) == {0.5}
