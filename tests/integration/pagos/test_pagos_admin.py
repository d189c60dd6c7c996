"""pagos in the admin: everything can be looked at, nothing typed over."""

from decimal import Decimal

import pytest
from django.contrib import admin
from django.urls import reverse

from contracts.commands import Charge, Undo
from pagos import operations
from pagos.models import Payment
from participant.performing import perform

pytestmark = pytest.mark.django_db(databases=["default", "pagos"])


@pytest.fixture
def admin_client(client, django_user_model):
    """Logged in without a password, whose hashing would be most of the test's time."""
    person = django_user_model.objects.create(username="eva", is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


def url_of(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def refunded():
    command = Charge(
        saga_id="s", subject="c", amount=Decimal("12.50"), payment_method="credit_card"
    )
    perform(operation=operations.charge, commands=[command])
    perform(operation=operations.refund, commands=[Undo(saga_id="s", reason="changed my mind")])
    return Payment.objects.get()


@pytest.mark.usefixtures("refunded")
def test_every_list_and_every_row_can_be_looked_at(admin_client):
    models = [one for one in admin.site._registry if one._meta.app_label == "pagos"]
    assert {model.__name__ for model in models} >= {"Payment", "Refund", "BarrierEntry"}
    for model in models:
        url = url_of(model, "changelist")
        assert admin_client.get(url).status_code == 200
        if admin.site._registry[model].search_fields:
            assert admin_client.get(url, {"q": "s"}).status_code == 200
        for row in model.objects.all():
            assert admin_client.get(url_of(model, "change", row.pk)).status_code == 200


def test_payment_is_shown_with_its_refund(admin_client, refunded):
    page = admin_client.get(url_of(Payment, "change", refunded.pk)).content
    assert b"changed my mind" in page


def test_payment_is_never_typed_over(admin_client, refunded):
    assert admin_client.get(url_of(Payment, "add")).status_code == 403
    page = url_of(Payment, "change", refunded.pk)
    assert admin_client.post(page, {"status": "captured"}).status_code == 403
    refunded.refresh_from_db()
    assert refunded.status == "refunded"
