"""A row that was damaged by hand is shown as far as it can be, or named: never a 500, and
nothing that does not need it stops.
"""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from django.urls import reverse
from django.utils import timezone

from carrito import operations as carrito
from carrito.models import Cart, CartItem
from carrito.operations import Accept
from catalogue.commands import (
    Charge,
    Commit,
    CreateBill,
    CreateOrder,
    IssueInvoice,
    Item,
    Reserve,
    Schedule,
)
from contracts.saga import Undo
from envios import operations as envios
from envios.models import Courier
from facturas import operations as facturas
from inventario import expiry
from inventario import operations as inventario
from inventario.models import Product, Reservation
from pagos import operations as pagos
from pagos.models import Payment
from participant import sql
from participant.executing import execute
from participant.sql import Damaged
from pedidos.operations import Accept as AcceptOrder
from pedidos.operations import OrderItem as PedidosItem
from pedidos.operations import accept as accept_order
from reservas import operations as reservas
from reservas.models import Slot

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.undocumented]

SAGA = "s"
TIMES = ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"]
DEEP = "(repeat('[', 3000) || repeat(']', 3000))::jsonb"
LONG = "repeat('9', 5000)::jsonb"


def times(table, *columns):
    return [f"UPDATE {table} SET {column} = '{time}'" for column in columns for time in TIMES]


DAMAGES = {
    "carrito": [
        *times("carrito_cart", "created_at"),
        *times("carrito_checkout", "accepted_at", "handed_over_at", "ended_at", "dead_lettered_at"),
        *times("carrito_order", "created_at", "confirmed_at", "cancelled_at"),
        "UPDATE carrito_cart SET status = 'foo'",
        "UPDATE carrito_cartitem SET quantity = 2147483647, unit_price = 9999999999.99",
        "UPDATE carrito_checkout SET items = '{}'",
        "UPDATE carrito_checkout SET context = '[]'",
        f"UPDATE carrito_checkout SET items = {DEEP}",
        f"UPDATE carrito_checkout SET items = {LONG}",
        f"UPDATE carrito_address SET address = {DEEP}",
        f"UPDATE carrito_checkout SET context = {DEEP}",
        f"UPDATE carrito_checkout SET price_changes = {DEEP}",
        f"UPDATE carrito_checkout SET price_changes = {LONG}",
        "UPDATE carrito_checkout SET status = 'foo', saga_pattern = 'bar'",
        "UPDATE carrito_order SET status = 'foo'",
    ],
    "inventario": [
        *times("inventario_product", "created_at"),
        *times("inventario_reservation", "created_at", "changed_at", "expires_at"),
        "UPDATE inventario_reservation SET status = 'foo'",
        "DELETE FROM inventario_reservationline",
    ],
    "pagos": [
        *times("pagos_payment", "created_at"),
        *times("pagos_refund", "created_at"),
        "UPDATE pagos_payment SET status = 'foo'",
    ],
    "envios": [
        *times("envios_courier", "created_at"),
        *times("envios_delivery", "created_at", "delivered_at", "cancelled_at"),
        "UPDATE envios_delivery SET status = 'foo'",
        f"UPDATE envios_delivery SET destination = {DEEP}",
    ],
    "pedidos": [
        *times("pedidos_order", "accepted_at", "handed_over_at", "dead_lettered_at"),
        "UPDATE pedidos_order SET order_status = 'failed', ended_at = 'infinity'",
        "UPDATE pedidos_order SET status = 'foo', saga = 'bar', saga_pattern = 'baz'",
        f"UPDATE pedidos_order SET items = {DEEP}",
        f"UPDATE pedidos_order SET items = {LONG}",
        f"UPDATE pedidos_address SET address = {DEEP}",
        f"UPDATE pedidos_address SET address = {LONG}",
        "UPDATE pedidos_order SET items = '{}', context = '[]'",
    ],
    "reservas": [
        *times("reservas_slot", "created_at"),
        *times(
            "reservas_booking", "accepted_at", "handed_over_at", "dead_lettered_at", "approved_at"
        ),
        "UPDATE reservas_booking SET starts_at = '-infinity', ends_at = 'infinity'",
        "UPDATE reservas_booking SET booking_status = 'failed', ended_at = 'infinity'",
        "UPDATE reservas_booking SET status = 'foo', saga = 'bar', saga_pattern = 'baz'",
        f"UPDATE reservas_booking SET context = {DEEP}",
    ],
    "facturas": [
        *times("facturas_bill", "created_at", "paid_at", "closed_at"),
        *times("facturas_invoice", "issued_at"),
        "UPDATE facturas_bill SET status = 'foo'",
        "UPDATE facturas_invoice SET kind = 'foo'",
    ],
}
PAGES = {
    "carrito": [
        "/carts/c",
        "/orders/saga/c",
        "/orders/saga/s/status",
        "/orders/{order}",
        "/checkouts/dead-letters",
    ],
    "inventario": [
        "/api/products",
        "/api/products/{product}",
        "/api/products/availability/{product}",
        "/api/products/reservations/c",
        "/inventory",
    ],
    "pagos": [
        "/api/v1/payments/{payment}",
        "/api/v1/payments/saga/c",
        "/api/v1/payments/saga/s/status",
        "/payments",
    ],
    "envios": ["/couriers", "/deliveries", "/deliveries/{delivery}"],
    "pedidos": ["/orders", "/orders/s"],
    "reservas": ["/slots", "/bookings", "/bookings/s"],
    "facturas": ["/bills", "/bills/{bill}", "/invoices", "/invoices/{invoice}"],
}


def of(step, saga_id=SAGA):
    """The fields of a step's command that name its saga and step."""
    return {"saga": "checkout", "saga_id": saga_id, "step": step}


def run(operation, command):
    return execute(operation=operation, commands=[command])[0].outcome


@pytest.fixture
def shop():
    """A saga in all tables; the ids that paths need."""
    product = Product.objects.create(name="p", sku="p", price="9.95", initial=10, available=10)
    cart = Cart.objects.create(id="c", user_id="ana")
    CartItem.objects.create(cart=cart, product_id=str(product.pk), quantity=2, unit_price="9.95")
    wanted = {"saga_pattern": "orchestrated", "cart_id": "c", "payment_method": "credit_card"}
    run(carrito.accept, Accept(**of("accept_checkout"), **wanted))
    items = [Item(str(product.pk), 2)]
    run(inventario.reserve, Reserve(**of("reserve_inventory"), subject="c", items=items))
    total = Decimal("19.90")
    run(pagos.charge, charge_of(total, **of("process_payment")))
    run(pagos.refund, Undo(**of("process_payment")))
    order = run(carrito.create_order, CreateOrder(**of("create_order"), paid=total)).data[
        "order_id"
    ]
    payment = Payment.objects.get(saga_id=SAGA).pk
    Courier.objects.create(name="Rosa", capacity=1)
    delivery = run(envios.schedule, Schedule(saga_id=SAGA, subject="o", destination={})).data
    run(
        accept_order,
        AcceptOrder(
            saga_id=SAGA,
            saga="fulfilment",
            saga_pattern="orchestrated",
            user_id="ana",
            items=[PedidosItem(product_id="1", sku="p", name="p", quantity=1)],
            total_amount=total,
            payment_method="credit_card",
        ),
    )
    slot = Slot.objects.create(name="Sala Azul", price_per_hour="19.90")
    now = timezone.now()
    run(
        reservas.accept,
        reservas.Accept(
            saga_id=SAGA,
            saga="booking",
            step="accept_booking",
            saga_pattern="orchestrated",
            user_id="ana",
            slot_id=slot.pk,
            starts_at=now,
            ends_at=now + timedelta(hours=1),
        ),
    )
    billed = CreateBill(saga_id=SAGA, subject=SAGA, user_id="ana", amount=total)
    bill = run(facturas.create_bill, billed).data["bill_id"]
    invoice = run(facturas.issue_invoice, IssueInvoice(saga_id=SAGA, bill_id=bill, paid=total)).data
    return {
        "bill": bill,
        "invoice": invoice["invoice_number"],
        "order": order,
        "product": product.pk,
        "payment": payment,
        "delivery": delivery["delivery_id"],
    }


def charge_of(amount, **whose):
    return Charge(**whose, subject="c", amount=amount, payment_method="credit_card")


def damage(service, change):
    sql.execute(service=service, sql=change)


def not_shown(service, answers):
    """The service's rows with each of its damages in turn, and what is asked of them then: the
    paths that were not answered with 200.
    """
    wrong = []
    for change in DAMAGES[service]:
        with transaction.atomic(using=service):
            damage(service, change)
            wrong += [
                (change, path) for path, answer in answers(change) if answer.status_code != 200
            ]
            transaction.set_rollback(True, using=service)
    return wrong


@pytest.mark.parametrize("service", DAMAGES)
def test_every_page_of_the_api_shows_it(client, shop, service, settings):
    if service == "pedidos":  # in a process of all services /orders is carrito's
        settings.ROOT_URLCONF = "tests.integration.pedidos.served"
    client.raise_request_exception = False
    paths = [path.format(**shop) for path in PAGES[service]]
    assert not_shown(service, lambda _: [(path, client.get(path)) for path in paths]) == []


def shows(model, service, change):
    """Whether this model's pages of the admin have rows of the damaged table, or related ones."""
    (table,) = re.findall(rf"(?:UPDATE|FROM) ({service}_\w+)", change)
    related = [field.related_model for field in model._meta.get_fields() if field.related_model]
    return table in [known._meta.db_table for known in (model, *related)]


@pytest.mark.parametrize("service", DAMAGES)
def test_every_page_of_the_admin_shows_it(admin_client, shop, service):
    admin_client.raise_request_exception = False

    def answers(change):
        for model in [known for known in admin.site._registry if shows(known, service, change)]:
            names = f"admin:{service}_{model._meta.model_name}"
            paths = [reverse(f"{names}_changelist")]
            keys = model.objects.values_list("pk", flat=True)
            paths += [reverse(f"{names}_change", args=[key]) for key in keys]
            yield from ((path, admin_client.get(path)) for path in paths)

    assert not_shown(service, answers) == []


def test_time_that_is_read_as_it_is_stops_the_page(client, shop, monkeypatch):
    """The control: the loader of times is off."""
    monkeypatch.setattr("participant.databases.ClampingTzLoader.load", BaseTzLoader.load)
    damage("carrito", "UPDATE carrito_cart SET created_at = 'infinity'")
    client.raise_request_exception = False
    assert client.get("/carts/c").status_code != 200


def test_unreadable_reservation_is_named_and_harms_only_itself(client, shop):
    items = [Item(str(shop["product"]), 1)]
    run(inventario.reserve, Reserve(saga_id="other", subject="c", items=items))
    damage("inventario", "UPDATE inventario_reservation SET status = 'foo' WHERE saga_id = 's'")
    with pytest.raises(Damaged, match="saga s has no such status: 'foo'"):
        run(inventario.commit, Commit(**of("commit_inventory")))
    body = of("commit_inventory")
    response = client.post("/steps/inventario.commit", body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (409, "unreadable")
    assert run(inventario.commit, Commit(saga_id="other")).data


NOT_MONEY = [
    ("carrito", "carrito_cartitem", "unit_price", "cart_item_price_is_money"),
    ("carrito", "carrito_checkout", "total_amount", "checkout_total_is_money"),
    ("carrito", "carrito_order", "total_amount", "order_total_is_money"),
    ("inventario", "inventario_product", "price", "product_price_is_money"),
    ("pagos", "pagos_payment", "amount", "payment_amount_is_money"),
    ("pagos", "pagos_refund", "amount", "refund_amount_is_money"),
    ("reservas", "reservas_slot", "price_per_hour", "slot_price_is_money"),
    ("reservas", "reservas_booking", "total_amount", "booking_price_is_money"),
    ("facturas", "facturas_bill", "amount", "bill_amount_is_money"),
    ("facturas", "facturas_invoice", "amount", "invoice_amount_is_money"),
]


@pytest.mark.parametrize(("service", "table", "column", "constraint"), NOT_MONEY)
def test_no_amount_that_is_no_number_can_be_stored(shop, service, table, column, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(using=service):
        damage(service, f"UPDATE {table} SET {column} = 'NaN'")


@pytest.mark.parametrize("change", ["amount = 'NaN'", "status = 'foo'"])
def test_unreadable_payment_is_never_called_refunded(client, change):
    amount = Decimal("10.00")
    run(pagos.charge, charge_of(amount, saga_id="t"))
    damage("pagos", "ALTER TABLE pagos_payment DROP CONSTRAINT payment_amount_is_money")
    damage("pagos", f"UPDATE pagos_payment SET {change}")
    body = {"saga_id": "t"}
    response = client.post("/api/v1/payments/saga/refund", body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (409, "unreadable")


@pytest.fixture
def due(shop):
    """Three reservations whose time is over; the product of the first is damaged."""
    broken = Product.objects.create(name="b", sku="b", price="1", initial=10, available=10)
    for saga_id, product_id in (("a", broken.pk), ("b", shop["product"]), ("c", shop["product"])):
        items = [Item(str(product_id), 1)]
        run(inventario.reserve, Reserve(saga_id=saga_id, subject="c", items=items))
    Reservation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    damage(
        "inventario",
        f"UPDATE inventario_product SET reserved = 0, initial = 9 WHERE id = {broken.pk}",
    )


def statuses():
    return dict(Reservation.objects.exclude(saga_id=SAGA).values_list("saga_id", "status"))


def test_reservation_that_cannot_be_released_holds_up_no_other(due):
    sweeps = expiry.Expiry()
    sweeps.sweep()
    assert statuses() == {"a": "reserved", "b": "expired", "c": "expired"}
    (complaint,) = sweeps.complaints()
    assert "saga a can't be released" in complaint.what


def test_control_released_together_a_damaged_reservation_holds_up_all(due, monkeypatch):
    """The sweep takes one list only."""
    monkeypatch.setattr(expiry.Expiry, "_one_by_one", lambda self: None)
    expiry.Expiry().sweep()
    assert set(statuses().values()) == {"reserved"}
