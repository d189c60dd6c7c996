"""What is left of a test that commits, for the next one."""

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType

from inventario.models import Product
from tests.clearing import clear

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "inventario"])


def test_committed_rows_are_cleared():
    Product.objects.create(name="A lamp", price=1, sku="lamp", initial=1, available=1)
    clear("inventario")
    assert not Product.objects.exists()


def test_rows_of_migrations_stay_as_they_are():
    before = list(ContentType.objects.values_list("pk", flat=True))
    clear("default")
    assert list(ContentType.objects.values_list("pk", flat=True)) == before


@pytest.mark.parametrize("number", [1, 2])
def test_changed_rows_of_migrations_are_made_anew_each_time(number):
    groups = set(Group.objects.values_list("name", flat=True))
    Group.objects.filter(name="viewer").delete()
    clear("default")
    assert set(Group.objects.values_list("name", flat=True)) == groups
    assert "viewer" in groups
