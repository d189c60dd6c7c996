"""envios in the admin: all can be viewed, and deliveries not edited."""

import pytest

from envios.models import Courier
from tests.admin_pages import look_at_all, url_of

pytestmark = pytest.mark.django_db(databases=["default", "envios"])

TYPED = {"name": "Ana", "phone_number": "", "province": "", "city": "", "capacity": 5}


def test_every_list_and_every_row_can_be_looked_at(admin_client, courier, shop):
    courier()
    shop.schedule("s")
    look_at_all(admin_client, "envios", at_least=["Courier", "Delivery"])


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
    response = admin_client.post(url_of(Courier, "change", rosa.pk), TYPED | {"capacity": 1})
    assert response.status_code == 200
    rosa.refresh_from_db()
    assert rosa.capacity == 2
