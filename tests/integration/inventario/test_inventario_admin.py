"""inventario in the admin: all can be viewed, and stock not edited."""

import pytest

from inventario.models import Product
from tests.admin_pages import look_at_all, url_of

pytestmark = pytest.mark.django_db(databases=["default", "inventario"])

NEW = {"name": "Lamp", "description": "", "price": "19.90", "category": "home", "sku": "LAM-1"}


@pytest.fixture
def busy_shop(shop, product):
    """A row in every table that a saga fills."""
    shop.reserve("s", {product(5): 2})


@pytest.mark.usefixtures("busy_shop")
def test_every_list_and_every_row_can_be_looked_at(admin_client):
    look_at_all(admin_client, "inventario", at_least=["Product", "Reservation"])


def test_added_product_is_available_as_a_whole(admin_client):
    response = admin_client.post(url_of(Product, "add"), NEW | {"initial": 7})
    assert response.status_code == 302
    added = Product.objects.get()
    assert (added.initial, added.available, added.reserved, added.sold) == (7, 7, 0, 0)


def test_product_of_a_negative_number_is_not_added(admin_client):
    response = admin_client.post(url_of(Product, "add"), NEW | {"initial": -7})
    assert response.status_code == 200
    assert not Product.objects.exists()


def test_saving_a_product_changes_no_stock(admin_client, product, shop):
    lamp = product(10)
    page = url_of(Product, "change", lamp.pk)
    assert b'name="restock"' in admin_client.get(page).content
    shop.reserve("s", {lamp: 4})
    typed = NEW | {"initial": 99, "available": 99, "reserved": 0}
    assert admin_client.post(page, typed).status_code == 302
    lamp.refresh_from_db()
    assert (lamp.name, lamp.sku) == ("Lamp", "LAM-1")
    assert (lamp.initial, lamp.available, lamp.reserved) == (10, 6, 4)


@pytest.mark.parametrize(("restock", "left"), [("5", 15), ("-10", 0), ("-11", 10), ("", 10)])
def test_restock_moves_what_is_available_and_never_below_zero(admin_client, product, restock, left):
    lamp = product(10)
    admin_client.post(url_of(Product, "change", lamp.pk), NEW | {"restock": restock})
    lamp.refresh_from_db()
    assert lamp.available == lamp.initial == left
