"""pagos in the admin: all can be viewed, and nothing edited."""

from decimal import Decimal

import pytest

from catalogue.commands import Charge, ConfirmPayment, CreatePayment
from contracts.saga import Undo
from pagos import operations
from pagos.models import Decision, Payment
from participant.executing import execute
from tests.admin_pages import act, look_at_all, url_of

pytestmark = pytest.mark.django_db(databases=["default", "pagos", "tarjetas"])


@pytest.fixture
def refunded():
    command = Charge(
        saga_id="s", subject="c", amount=Decimal("12.50"), payment_method="credit_card"
    )
    execute(operation=operations.charge, commands=[command])
    execute(operation=operations.refund, commands=[Undo(saga_id="s", reason="changed my mind")])
    return Payment.objects.get()


@pytest.mark.usefixtures("refunded")
def test_every_list_and_every_row_can_be_looked_at(admin_client):
    look_at_all(admin_client, "pagos", at_least=["Payment", "Refund"])


def test_payment_is_shown_with_its_refund(admin_client, refunded):
    page = admin_client.get(url_of(Payment, "change", refunded.pk)).content
    assert b"changed my mind" in page


def test_payment_is_never_typed_over(admin_client, refunded):
    assert admin_client.get(url_of(Payment, "add")).status_code == 403
    page = url_of(Payment, "change", refunded.pk)
    assert admin_client.post(page, {"status": "captured"}).status_code == 403
    refunded.refresh_from_db()
    assert refunded.status == "refunded"


@pytest.fixture
def unconfirmed():
    alike = {"saga_id": "s", "saga": "purchase", "user_id": "ana"}
    created = CreatePayment(
        **alike, step="create_payment", subject="s", amount=Decimal(5), payment_method="credit_card"
    )
    execute(operation=operations.create_payment, commands=[created])
    command = ConfirmPayment(**alike, step="confirm_payment", payment_id=Payment.objects.get().id)
    execute(operation=operations.confirm_payment, commands=[command])
    return Decision.objects.get()


def test_staff_may_reject_for_a_customer_and_never_approve(admin_client, unconfirmed):
    key = str(unconfirmed.pk)
    page = act(admin_client, Decision, "approve", key, reason="they asked me on the phone")
    assert "0 approved, 1 refused: 1 forbidden." in page
    assert (Decision.objects.get().verdict, Payment.objects.get().status) == ("", "pending")
    assert "1 rejected." in act(admin_client, Decision, "reject", key, reason="no such person")
    assert Payment.objects.get().status == "cancelled"
