"""The simulated card network."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import refusals
from pagos.gateway import ACCEPTED, LARGEST, REFUSED, SLOW_CARD, authorise, wait_for


def ask(**changes):
    question = {
        "saga_id": "s",
        "amount": Decimal("10.00"),
        "payment_method": "credit_card",
        "decline_share": 0.0,
    }
    return authorise(**(question | changes))


@pytest.mark.parametrize("method", sorted(ACCEPTED))
def test_good_card_is_accepted(method):
    assert ask(payment_method=method) is None


@pytest.mark.parametrize("method", sorted(REFUSED))
def test_bad_card_is_refused_with_its_own_code(method):
    assert ask(payment_method=method).code == method


@pytest.mark.parametrize("method", ["", "cash", "CREDIT_CARD", "x" * 10_000])
def test_unknown_method_is_refused_and_the_known_ones_named(method):
    refused = ask(payment_method=method)
    assert refused.code == refusals.UNKNOWN_PAYMENT_METHOD
    assert "credit_card, debit_card, paypal" in refused.detail
    assert len(refused.detail) < 200


@pytest.mark.parametrize("amount", ["-1", "0", "0.001", "1e30", "1e-30", "NaN", "sNaN", "Infinity"])
def test_what_is_no_amount_of_money_is_refused(amount):
    assert ask(amount=Decimal(amount)).code == refusals.INVALID_AMOUNT


@pytest.mark.parametrize("amount", ["0.01", "1", "1E+2", "1299.990", str(LARGEST)])
def test_what_is_an_amount_of_money_is_accepted(amount):
    assert ask(amount=Decimal(amount)) is None


@given(saga_id=st.text(max_size=64), share=st.floats(0, 1), amount=st.decimals())
def test_same_question_gets_the_same_answer(saga_id, share, amount):
    question = {"saga_id": saga_id, "decline_share": share, "amount": amount}
    assert ask(**question) == ask(**question)


def test_share_of_refusals_is_kept_over_many_sagas():
    declined = sum(bool(ask(saga_id=f"saga-{i}", decline_share=0.2)) for i in range(5000))
    assert 0.18 < declined / 5000 < 0.22


def test_share_of_one_declines_everybody_and_of_zero_nobody():
    assert all(ask(saga_id=str(i), decline_share=1.0) for i in range(100))
    assert not any(ask(saga_id=str(i), decline_share=0.0) for i in range(100))


def test_larger_share_declines_the_same_sagas_and_more():
    fewer = {i for i in range(500) if ask(saga_id=str(i), decline_share=0.1)}
    more = {i for i in range(500) if ask(saga_id=str(i), decline_share=0.3)}
    assert fewer < more


def test_slow_card_takes_its_time_and_others_do_not():
    started = time.perf_counter()
    wait_for(payment_methods={"credit_card"}, slow_card_seconds=5)
    quick = time.perf_counter() - started
    wait_for(payment_methods={"credit_card", SLOW_CARD}, slow_card_seconds=0.05)
    assert quick < 1
    assert time.perf_counter() - started >= 0.05
