"""Which reservations are granted: the pure decisions."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import refusals
from catalogue.commands import Commit, Item
from contracts.bounds import MOST_INTEGER
from contracts.outcomes import Done
from inventario.models import ReservationStatus
from inventario.operations import decide_commit, decide_reserve
from inventario.store import LockedReservation, Movement, product_id_of

BY_HAND = Commit(saga_id="s")


def codes(wanted, available):
    return [no and no.code for no in decide_reserve(wanted=wanted, available=available)]


def held(*statuses):
    return [
        LockedReservation(id=7, saga_id="s", step=f"step {n}", status=status, lines={1: 2})
        for n, status in enumerate(statuses)
    ]


def test_first_in_the_list_gets_what_is_in_stock():
    assert codes([{1: 2}, {1: 2}, {1: 1}], {1: 3}) == [None, refusals.OUT_OF_STOCK, None]


def test_refused_reservation_takes_nothing_from_the_next():
    assert codes([{1: 1, 2: 9}, {1: 1}], {1: 1, 2: 1}) == [refusals.OUT_OF_STOCK, None]


def test_user_has_no_more_reserved_than_the_limit():
    wanted, users = [{1: 2}, {1: 2}, {1: 2, 2: 1}, {1: 1}], ["ana", "ben", "ana", "ana"]
    decided = decide_reserve(
        wanted=wanted, available={1: 99, 2: 99}, users=users, held={"ana": 1, "ben": 4}, most=5
    )
    codes = [no and no.code for no in decided]
    assert codes == [None, refusals.TOO_MANY_RESERVED, refusals.TOO_MANY_RESERVED, None]
    assert "2 more, beside the 4 that you have reserved: at most 5" in decided[1].detail


def test_unknown_product_is_refused():
    assert codes([{1: 1, 9: 1}, None], {1: 5}) == [refusals.UNKNOWN_PRODUCT] * 2


_lines = st.dictionaries(st.integers(1, 4), st.integers(1, 9), min_size=1)


@given(
    wanted=st.lists(_lines, max_size=30),
    available=st.fixed_dictionaries({i: st.integers(0, 40) for i in range(1, 5)}),
)
def test_no_more_is_reserved_than_is_in_stock(wanted, available):
    decided = decide_reserve(wanted=wanted, available=available)
    left = dict(available)
    for lines, refused in zip(wanted, decided, strict=True):
        fits = all(quantity <= left[product] for product, quantity in lines.items())
        assert fits == (refused is None)
        if refused is None:
            for product, quantity in lines.items():
                left[product] -= quantity
    assert all(quantity >= 0 for quantity in left.values())


def test_only_reserved_products_are_sold():
    assert isinstance(decide_commit(command=BY_HAND, held=held(ReservationStatus.RESERVED)), Done)
    both = held(ReservationStatus.RELEASED, ReservationStatus.RESERVED)
    assert isinstance(decide_commit(command=BY_HAND, held=both), Done)


def test_saga_of_which_anything_has_expired_sells_nothing():
    both = held(ReservationStatus.RESERVED, ReservationStatus.EXPIRED)
    assert decide_commit(command=BY_HAND, held=both).code == refusals.RESERVATION_EXPIRED


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ReservationStatus.EXPIRED, refusals.RESERVATION_EXPIRED),
        (ReservationStatus.RELEASED, refusals.NO_RESERVATION),
        (ReservationStatus.COMMITTED, refusals.NO_RESERVATION),
        (ReservationStatus.RESTORED, refusals.NO_RESERVATION),
    ],
)
def test_ended_reservation_is_not_sold(status, code):
    assert decide_commit(command=BY_HAND, held=held(status)).code == code


def of_saga(*items, due="19.90", paid="19.90"):
    named = [Item(product, quantity) for product, quantity in items]
    whose = {"saga_id": "s", "saga": "checkout", "step": "commit_inventory"}
    return Commit(**whose, items=named, due=Decimal(due), paid=Decimal(paid))


def test_saga_sells_what_it_has_ordered_and_paid():
    both = held(ReservationStatus.RESERVED, ReservationStatus.RESERVED)
    for items in [("1", 4)], [("1", 1), ("01", 3)]:
        assert isinstance(decide_commit(command=of_saga(*items), held=both), Done)


@pytest.mark.parametrize("items", [[], [("1", 1)], [("1", 3)], [("2", 2)], [("1", 2), ("2", 1)]])
def test_saga_that_has_reserved_something_else_sells_nothing(items):
    refused = decide_commit(command=of_saga(*items), held=held(ReservationStatus.RESERVED))
    assert refused.code == refusals.WRONG_ITEMS


@pytest.mark.parametrize("paid", ["0", "0.01", "19.89", "19.91"])
def test_saga_that_has_paid_something_else_sells_nothing(paid):
    command = of_saga(("1", 2), paid=paid)
    refused = decide_commit(command=command, held=held(ReservationStatus.RESERVED))
    assert refused.code == refusals.WRONG_AMOUNT


def test_saga_without_a_reservation_sells_nothing():
    assert decide_commit(command=BY_HAND, held=[]).code == refusals.NO_RESERVATION


@pytest.mark.parametrize(
    ("text", "product_id"),
    [
        ("1", 1),
        ("007", 7),
        ("9" * 19, MOST_INTEGER),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("x", None),
        ("٣", None),
        ("9" * 20, None),
    ],
)
def test_product_id_is_the_number_of_its_digits(text, product_id):
    assert product_id_of(text) == product_id


def test_products_are_locked_in_the_order_of_their_ids():
    movement = Movement()
    movement.sold[3] = movement.available[1] = movement.reserved[2] = 1
    assert movement.products() == [1, 2, 3]
