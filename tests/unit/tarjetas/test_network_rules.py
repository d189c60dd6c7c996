"""The simulated card network's decisions on charges."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import refusals
from tarjetas.rules import ACCEPTED, LARGEST, REFUSED, SLOW_CARD, refusal, seconds_of


def ask(*, share: float = 0.0, **changes):
    question = {
        "saga_id": "s",
        "saga": "checkout",
        "amount": Decimal("10.00"),
        "payment_method": "credit_card",
        "decline_shares": {"": share},
    }
    return refusal(**(question | changes))


@pytest.mark.parametrize("method", sorted(ACCEPTED))
def test_good_card_is_accepted(method):
    assert ask(payment_method=method) is None


@pytest.mark.parametrize("method", sorted(REFUSED))
def test_bad_card_is_refused_with_its_own_code(method):
    assert ask(payment_method=method).code == method


@pytest.mark.parametrize("method", ["", "cash", "CREDIT_CARD", "x" * 10_000])
def test_unknown_method_is_refused_with_the_known_methods(method):
    refused = ask(payment_method=method)
    assert refused.code == refusals.UNKNOWN_PAYMENT_METHOD
    assert "credit_card, debit_card, paypal" in refused.detail
    assert len(refused.detail) < 200


@pytest.mark.parametrize("amount", ["-1", "0", "0.001", "1e30", "1e-30", "NaN", "sNaN", "Infinity"])
def test_invalid_amount_of_money_is_refused(amount):
    assert ask(amount=Decimal(amount)).code == refusals.INVALID_AMOUNT


@pytest.mark.parametrize("amount", ["0.01", "1", "1E+2", "1299.990", str(LARGEST)])
def test_valid_amount_of_money_is_accepted(amount):
    assert ask(amount=Decimal(amount)) is None


@given(saga_id=st.text(max_size=64), share=st.floats(0, 1), amount=st.decimals())
def test_same_charge_gets_the_same_answer(saga_id, share, amount):
    question = {"saga_id": saga_id, "share": share, "amount": amount}
    assert ask(**question) == ask(**question)


def test_share_of_refusals_is_kept_over_many_sagas():
    declined = sum(bool(ask(saga_id=f"saga-{i}", share=0.2)) for i in range(5000))
    assert 0.18 < declined / 5000 < 0.22


def test_share_of_one_declines_every_saga_and_of_zero_none():
    assert all(ask(saga_id=str(i), share=1.0) for i in range(100))
    assert not any(ask(saga_id=str(i), share=0.0) for i in range(100))


def test_larger_share_declines_the_same_sagas_and_more():
    fewer = {i for i in range(500) if ask(saga_id=str(i), share=0.1)}
    more = {i for i in range(500) if ask(saga_id=str(i), share=0.3)}
    assert fewer < more


def test_share_is_that_of_the_saga_and_a_charge_without_a_saga_has_none():
    shares = {"": 0.0, "fulfilment": 1.0}
    assert ask(saga="fulfilment", decline_shares=shares).code == refusals.CARD_DECLINED
    assert ask(saga="checkout", decline_shares=shares) is None
    assert ask(saga_id="", saga="", share=1.0) is None


def test_slow_card_takes_its_time_and_others_do_not():
    assert seconds_of(payment_method=SLOW_CARD, slow_card_seconds=5) == 5
    assert seconds_of(payment_method="credit_card", slow_card_seconds=5) == 0
