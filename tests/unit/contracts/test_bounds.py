"""Limits of input: every service can take what another has accepted, and all of it reads back."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrito import store
from carrito.operations import decide_size
from catalogue import SAGAS
from catalogue.commands import Item, Line, Reserve
from contracts import bounds, projection
from contracts.saga import Context, Direction
from inventario.catalogue import NewProduct
from pagos import operations

ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=64
)
prices = st.one_of(
    st.sampled_from([Decimal(0), bounds.MOST_PRICE]),
    st.decimals(min_value=0, max_value=bounds.MOST_PRICE, places=2),
    st.decimals(),
)
quantities = st.one_of(st.integers(), st.integers(1, bounds.MOST_QUANTITY))
carts = st.lists(st.builds(Line, ids, quantities, prices), min_size=1, max_size=6)


def frozen(lines: list[Line]) -> Context:
    known = {
        "items": lines,
        "total_amount": store.total_of(lines),
        "payment_method": "credit_card",
    }
    return Context(
        saga="checkout",
        saga_id="s",
        pattern="orchestrated",
        subject="c",
        data=projection.select("checkout", known),
    )


def asked(context: Context, step: str) -> Any:
    """The command of a step of the checkout, as its service decodes it."""
    sent = projection.command(
        step=SAGAS["checkout"].step(step), direction=Direction.DO, context=context
    )
    return msgspec.json.decode(msgspec.json.encode(sent), type=type(sent))


@given(lines=carts)
def test_cart_that_is_accepted_can_be_read_reserved_and_paid(lines):
    if decide_size(lines=lines):
        return
    context = frozen(lines)
    assert msgspec.json.decode(msgspec.json.encode(context), type=Context) == context
    assert len(asked(context, "reserve_inventory").items) == len(lines)
    charge = asked(context, "process_payment")
    free = operations.is_free(amount=charge.amount)
    assert free or operations.is_chargeable(amount=charge.amount)


def line(**changes):
    return Line(**({"product_id": "1", "quantity": 1, "unit_price": Decimal(1)} | changes))


@pytest.mark.parametrize(
    "lines",
    [
        [line(product_id=str(number)) for number in range(bounds.MOST_LINES + 1)],
        [line(quantity=bounds.MOST_QUANTITY + 1)],
        [line(quantity=0)],
        [line(quantity=101, unit_price=bounds.MOST_PRICE)],
        [line(unit_price=bounds.MOST_PRICE + 1)],
    ],
)
def test_cart_beyond_a_limit_is_refused_and_the_limit_named(lines):
    refused = decide_size(lines=lines)
    assert refused.code in ("cart_too_large", "unreadable")
    assert refused.detail


def test_cart_at_every_limit_is_accepted():
    most = [line(product_id=str(number)) for number in range(bounds.MOST_LINES)]
    assert decide_size(lines=most) is None
    assert decide_size(lines=[line(quantity=bounds.MOST_QUANTITY)]) is None
    assert decide_size(lines=[line(quantity=100, unit_price=bounds.MOST_PRICE)]) is None


def test_acceptance_is_within_what_can_be_read():
    assert bounds.MOST_LINES <= bounds.MOST_LINES_READ
    assert bounds.MOST_BYTES_OF_ONE < bounds.MOST_BYTES_OF_A_MESSAGE


@given(value=st.decimals())
def test_money_is_what_two_decimals_hold(value):
    is_money = bounds.is_money(value, most=bounds.MOST_MONEY)
    assert is_money == (
        value.is_finite() and 0 <= value <= bounds.MOST_MONEY and value == round(value, 2)
    )


class Bill(msgspec.Struct):
    name: bounds.Name
    lines: list[Line] = []
    address: bounds.Address = {}


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ({"name": " "}, "name", "not blank"),
        ({"name": "x" * 201}, "name", "200"),
        ({}, "name", "required"),
        ({"name": "a", "lines": [{"product_id": "1"}]}, "lines[0].quantity", "required"),
        ({"name": "a", "address": {"x" * 33: "y"}}, "address", "32"),
        ({"name": "a", "address": {"a b": "y"}}, "address", "of letters, digits and _"),
        ({"name": "a", "address": {f"x{n}": "y" for n in range(13)}}, "address", "12"),
        ({"name": "a", "address": {"x": 1}}, "address[...]", "str"),
    ],
)
def test_error_names_the_field_and_what_is_wrong(value, field, words):
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(value, Bill)
    named, message = bounds.field_and_message(error.value)
    assert (named, words in message) == (field, True), (named, message)


@pytest.mark.parametrize(
    "name", ["a\n", "a b", "a'b", 'a"b', "a\tb", "a\u202eb", "a/b", "", "x" * 65]
)
def test_id_has_the_characters_of_one(name):
    assert not bounds.is_id(name)
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(name, bounds.Id)
    words = "64" if len(name) == 65 else bounds.IDS_CHARACTERS if name else "length"
    assert words in bounds.field_and_message(error.value)[1]


@pytest.mark.parametrize("name", ["ana", "1", "user_123", "LAPTOP-001", "ana@x.org", "a:b", "é"])
def test_id_may_have_these_characters(name):
    assert bounds.is_id(name)
    assert msgspec.convert(name, bounds.Id) == name


def test_id_that_was_accepted_once_stays_readable():
    command = Reserve(saga_id="two words", subject="a\n", items=[Item("'", 1)])
    assert msgspec.json.decode(msgspec.json.encode(command), type=Reserve) == command


def test_invalid_money_names_its_field():
    with pytest.raises(ValueError, match=r"price: from 0 to 9999999999\.99"):
        msgspec.convert({"name": "a", "quantity": 1, "sku": "s", "price": "NaN"}, NewProduct)


def test_every_wrong_field_is_named():
    wrong = bounds.wrong_fields({"name": 1, "lines": [1], "address": []}, Bill)
    assert [field for field, _ in wrong] == ["name", "lines[0]", "address"]
