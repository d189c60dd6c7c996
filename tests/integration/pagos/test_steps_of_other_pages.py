"""Waiting steps of sagas that began by a definition that this version does not have."""

import json

import pytest

from contracts.saga import Command
from pagos.models import Decision
from pagos.operations import confirm_payment, pay_bill
from participant.operations import asks, does

pytestmark = pytest.mark.django_db(transaction=True, databases=["pagos"])


@pytest.mark.parametrize(
    ("saga", "step"), [("checkout", "pay_bill"), ("of_before", "x"), ("booking", "x")]
)
def test_it_waits_as_others_of_its_operation_do(client, settings, saga, step):
    settings.ROOT_URLCONF = "pagos.urls"
    body = {
        "saga_id": "of-before",
        "saga": saga,
        "step": step,
        "subject": "1",
        "user_id": "ana",
        "amount": "5.00",
        "due": "5.00",
    }
    answer = client.post("/steps/pagos.pay_bill", json.dumps(body), content_type="application/json")
    assert answer.status_code == 202, answer.content
    decision = Decision.objects.get()
    assert (decision.saga, decision.step, decision.decided_by) == (saga, step, "customer")
    assert decision.until > decision.opened_at


def test_step_of_the_definition_comes_before_others_of_its_operation():
    for operation, saga, step in (
        (pay_bill, "booking", "pay_bill"),
        (confirm_payment, "purchase", "confirm_payment"),
    ):
        own = asks(command=Command(saga_id="1", saga=saga, step=step))
        assert asks(command=Command(saga_id="1", saga=saga, step=step), operation=operation) == own


def test_operation_of_no_definition_does_not_wait():
    @does(service="pagos")
    def unknown(commands):
        """An operation of no definition."""
        return []

    with pytest.raises(LookupError, match="no definition says who decides"):
        asks(command=Command(saga_id="1", saga="checkout", step="unknown"), operation=unknown)
