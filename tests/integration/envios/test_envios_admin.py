"""envios in the admin: all of it can be looked at, and no delivery typed over."""

import pytest
from django.contrib import admin
from django.urls import reverse

from envios.models import Courier

pytestmark = pytest.mark.django_db(databases=["default", "envios"])

TYPED = {"name": "Ana", "phone_number": "", "province": "", "city": "", "capacity": 5}


@pytest.fixture
def admin_client(client, django_user_model):
    """Logged in without a password, whose hashing would be most of the test's time."""
    person = django_user_model.objects.create(username="eva", is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


def url_of(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_list_and_every_row_can_be_looked_at(admin_client, courier, shop):
    courier()
    shop.schedule("s")
    models = [one for one in admin.site._registry if one._meta.app_label == "envios"]
    assert {model.__name__ for model in models} >= {"Courier", "Delivery", "BarrierEntry"}
    for model in models:
        url = url_of(model, "changelist")
        assert admin_client.get(url).status_code == 200
        if admin.site._registry[model].search_fields:
            assert admin_client.get(url, {"q": "s"}).status_code == 200
        for row in model.objects.all():
            assert admin_client.get(url_of(model, "change", row.pk)).status_code == 200


def test_saving_a_courier_changes_no_delivery(admin_client, courier, shop):
    rosa = courier(2)
    shop.schedule("s")
    page = url_of(Courier, "change", rosa.pk)
    assert admin_client.post(page, TYPED | {"busy": 0}).status_code == 302
    rosa.refresh_from_db()
    assert (rosa.name, rosa.capacity, rosa.busy) == ("Ana", 5, 1)


def test_courier_can_be_added(admin_client):
    assert admin_client.post(url_of(Courier, "add"), TYPED).status_code == 302
    assert Courier.objects.get().busy == 0


def test_capacity_below_what_a_courier_has_is_refused(admin_client, courier, shop):
    rosa = courier(2)
    shop.schedule_all(["a", "b"])
    answered = admin_client.post(url_of(Courier, "change", rosa.pk), TYPED | {"capacity": 1})
    assert answered.status_code == 200
    rosa.refresh_from_db()
    assert rosa.capacity == 2
