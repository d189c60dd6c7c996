"""Addresses are deleted once their saga has ended long enough ago."""

import pytest
from django.core.management import call_command
from django.db import connections

from carrito.models import Address as BillingAddress
from coordination.management.commands import forget
from pedidos.models import Address, Order

pytestmark = pytest.mark.django_db(databases=["carrito", "pedidos"])

STREET = {"street": "Calle Mayor 1"}
DAY = 24 * 3600


def ordered(saga_id: str, *, days: float | None) -> None:
    """An order with its address that ended this number of days ago; None: it runs."""
    Order.objects.create(saga_id=saga_id, saga="fulfilment", user_id="ana", items=[])
    Address.objects.create(saga_id=saga_id, address=STREET)
    if days is not None:
        with connections["pedidos"].cursor() as cursor:
            cursor.execute(
                "UPDATE pedidos_order SET order_status = 'completed',"
                " ended_at = now() - make_interval(secs => %s) WHERE saga_id = %s",
                [days * DAY, saga_id],
            )


def forgotten(capsys, *more: str) -> str:
    call_command("forget", "--older-than", "90d", *more)
    return capsys.readouterr().out


def test_what_ended_long_ago_is_deleted_and_nothing_else(capsys):
    ordered("old", days=91)
    ordered("young", days=89)
    ordered("running", days=None)
    BillingAddress.objects.create(saga_id="of no checkout", address=STREET)
    output = forgotten(capsys)
    assert output == "carrito: 0 of 1 addresses deleted\npedidos: 1 of 3 addresses deleted\n"
    assert set(Address.objects.values_list("pk", flat=True)) == {"young", "running"}
    assert Order.objects.count() == 3


def test_dry_run_counts_and_deletes_nothing(capsys):
    ordered("old", days=91)
    assert "1 of 1 addresses would be deleted" in forgotten(capsys, "--dry-run")
    assert Address.objects.count() == 1


def test_it_goes_through_all_orders_and_prints_its_progress(capsys, monkeypatch):
    monkeypatch.setattr(forget, "AT_ONCE", 2)
    for number in range(5):
        ordered(f"order-{number}", days=91)
    output = forgotten(capsys).splitlines()
    assert output[1:] == [
        "pedidos: 2 examined, 2 deleted",
        "pedidos: 4 examined, 4 deleted",
        "pedidos: 5 of 5 addresses deleted",
    ]
    assert not Address.objects.exists()


def test_a_service_forgets_its_own_alone(capsys, settings):
    settings.SERVICE = "carrito"
    assert "pedidos" not in forgotten(capsys)
