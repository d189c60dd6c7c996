"""Charge and refund: their effects on the money."""

from decimal import Decimal

import pytest

from catalogue import refusals
from catalogue.commands import Charge
from contracts.outcomes import Done, Refused
from contracts.saga import Undo
from pagos import operations
from pagos.models import Payment, Refund
from participant.executing import execute

pytestmark = pytest.mark.django_db(databases=["pagos", "tarjetas"])


def charge(*saga_ids: str, **changes):
    fields = {"subject": "c", "amount": Decimal("12.50"), "payment_method": "credit_card"}
    commands = [Charge(saga_id=saga_id, **(fields | changes)) for saga_id in saga_ids]
    return [
        executed.outcome for executed in execute(operation=operations.charge, commands=commands)
    ]


def refund(*saga_ids: str, reason: str = ""):
    commands = [Undo(saga_id=saga_id, reason=reason) for saga_id in saga_ids]
    return [
        executed.outcome for executed in execute(operation=operations.refund, commands=commands)
    ]


def money() -> Decimal:
    """The money taken and not given back."""
    captured = sum(payment.amount for payment in Payment.objects.exclude(status="refused"))
    return captured - sum(refund.amount for refund in Refund.objects.all())


def test_charge_takes_the_money_and_answers_with_its_id():
    (done,) = charge("s", amount=Decimal("12.5"))
    payment = Payment.objects.get(saga_id="s")
    assert done.data == {"payment_id": payment.id, "amount": "12.50", "status": "captured"}
    assert (payment.amount, payment.subject, payment.status) == (Decimal("12.50"), "c", "captured")


def test_refund_gives_the_full_amount_back_with_its_reason():
    charge("s")
    (done,) = refund("s", reason="out_of_stock")
    assert done.data["refunded_amount"] == "12.50"
    assert Refund.objects.get().reason == "out_of_stock"
    assert Payment.objects.get().status == "refunded"
    assert money() == 0


def test_refused_charge_leaves_a_row_with_its_code_and_takes_nothing():
    (refused,) = charge("s", payment_method="insufficient_funds")
    assert refused.code == refusals.INSUFFICIENT_FUNDS
    payment = Payment.objects.get()
    assert (payment.status, payment.code) == ("refused", "insufficient_funds")
    assert money() == 0


@pytest.mark.parametrize("amount", ["-1", "0.001", "1e30", "NaN", "-Infinity"])
def test_wrong_amount_is_refused_and_kept_in_its_row(amount):
    (refused,) = charge("s", amount=Decimal(amount))
    assert refused.code == refusals.INVALID_AMOUNT
    assert str(Decimal(amount)) in Payment.objects.get().detail


def test_nothing_is_taken_without_asking_for_the_card():
    (done,) = charge("s", amount=Decimal(0), payment_method="card_declined")
    assert (done.data["amount"], Payment.objects.get().status) == ("0.00", "captured")
    (refunded,) = refund("s")
    assert refunded.data["refunded_amount"] == "0.00"
    assert money() == 0


def test_unknown_method_is_refused():
    (refused,) = charge("s", payment_method="x" * 64)
    assert refused.code == refusals.UNKNOWN_PAYMENT_METHOD


def test_total_as_large_as_a_cart_can_have_is_taken():
    largest = Decimal("999999999999.99")
    charge("s", amount=largest)
    assert money() == largest


def test_list_of_charges_is_decided_item_by_item():
    outcomes = charge("a", "b") + charge("c", payment_method="expired_card") + refund("a", "c", "z")
    kinds = ["refused" if isinstance(outcome, Refused) else "done" for outcome in outcomes]
    assert kinds == ["done", "done", "refused", "done", "done", "done"]
    assert money() == Decimal("12.50")


def test_share_of_refusals_is_declined_in_the_saga_that_it_is_set_for(settings):
    settings.DECLINE_SHARES = {"": 0.0, "fulfilment": 0.5}
    sagas = [f"s{n}" for n in range(100)]
    assert all(
        isinstance(outcome, Done) for outcome in charge(*sagas, saga="checkout", step="first")
    )
    outcomes = charge(*sagas, saga="fulfilment")
    declined = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert {refusal.code for refusal in declined} == {refusals.CARD_DECLINED}
    assert 30 < len(declined) < 70
    assert all(isinstance(outcome, Done) for outcome in outcomes if outcome not in declined)


def test_operation_that_serves_two_steps_of_a_saga_is_undone_for_each():
    for step, amount in (("deposit", "10.00"), ("rest", "90.00")):
        charge("s", step=step, amount=Decimal(amount))
    command = Undo(saga_id="s", step="rest")
    (done,) = [
        executed.outcome for executed in execute(operation=operations.refund, commands=[command])
    ]
    assert done.data["refunded_amount"] == "90.00"
    assert money() == Decimal("10.00")
