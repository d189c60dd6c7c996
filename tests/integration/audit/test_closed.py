"""Closing sagas: what all services keep of one goes, and the audit knows; what is open, parked or
on its way back stays, however old; and what comes late takes nothing twice.
"""

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connections
from django.db.models import DateTimeField, F
from django.test import Client

from carrito.models import Checkout, IdempotencyKey, Order
from carrito.operations import OWNER
from catalogue import SAGAS
from catalogue.services import PARTICIPANTS, WITH_DATABASE
from coordination import closing
from coordination.closing import Closing
from facturas.models import Invoice
from httpapi.client import ServiceResponse, Unreachable
from inventario.models import Product, Reservation
from loadtests.audit import checking
from pagos.models import FailedMessage, Payment, Refund
from participant import barrier
from pedidos.operations import OWNER as ORDERS
from reservas.operations import OWNER as BOOKINGS
from saga_choreography.models import Saga as Choreographed
from saga_orchestrator.models import Intervention, SagaStep
from saga_orchestrator.models import Saga as Orchestrated
from tests.integration.audit.conftest import found, run

pytestmark = pytest.mark.django_db(databases=WITH_DATABASE)
RECORDS = (Checkout, Order, Payment, Refund, Reservation, Invoice)
"""One or two business tables of each service."""


class Doors(dict):
    """Calls each service's own door without a network. `away`: services that do not answer."""

    def __init__(self):
        super().__init__()
        self.away = set()

    def __missing__(self, service):
        return Door(service, self.away)


class Door:
    def __init__(self, service, away):
        self.service, self.away = service, away

    def post(self, *, path, body):
        if self.service in self.away:
            raise Unreachable(f"{self.service} is away")
        response = Client().post(path, data=body, content_type="application/json")
        return ServiceResponse(response.status_code, response.content)


@pytest.fixture
def doors(monkeypatch):
    doors = Doors()
    monkeypatch.setattr(Closing, "_clients", doors)
    return doors


@pytest.fixture
def old_shop(shop, doors):
    """A shop in which everything, except open waits, is older than the retention time."""
    for service in WITH_DATABASE:
        for model in apps.get_app_config(service).get_models():
            times = [
                field.name
                for field in model._meta.concrete_fields
                if isinstance(field, DateTimeField) and field.name != "until"
            ]
            ago = timedelta(seconds=barrier.KEEP_SECONDS + 3600)
            rows = model._default_manager.all()
            if times:
                rows.update(**{name: F(name) - ago for name in times})
    return shop


def close():
    """Lets each owner look once; returns how many sagas were closed."""
    cleaned = [Closing(owner=owner).clean() for owner in (OWNER, ORDERS, BOOKINGS)]
    return sum(cleaning.counts.get("sagas_closed", 0) for cleaning in cleaned)


def sagas_of(table):
    """The sagas that have rows there, in any service that has such a table."""
    names = set()
    for service in WITH_DATABASE:
        if f"{service}_{table}" in connections[service].introspection.table_names():
            with connections[service].cursor() as cursor:
                cursor.execute(f"SELECT DISTINCT saga_id FROM {service}_{table}")
                names |= {row[0] for row in cursor.fetchall()}
    return names


def test_closed_sagas_leave_their_business_records_and_the_audit_is_clean(old_shop, broker):
    records = [model.objects.count() for model in RECORDS]
    assert close() == 16
    assert sagas_of("barrierentry") == sagas_of("saga") == sagas_of("decision") == {"waits"}
    assert not SagaStep.objects.exclude(saga_id="waits").exists()
    assert not Intervention.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert [model.objects.count() for model in RECORDS] == records
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert "alone left: 16" in report.groups[4].counted
    assert close() == 0


def test_audit_finds_damage_in_the_records_of_a_closed_saga(old_shop, broker):
    close()
    run("pagos", "DELETE FROM pagos_refund WHERE saga_id = 'returned'")
    assert {breach[:2] for breach in found(broker)} >= {(2, "returned")}


@pytest.mark.usefixtures("shop", "doors")
def test_young_sagas_are_not_closed_and_no_door_forgets_them():
    before = sagas_of("barrierentry")
    assert close() == 0
    for service in ("saga_orchestrator", "saga_choreography", *PARTICIPANTS):
        closing.forget_all(service=service, saga_ids=sorted(before))
    assert sagas_of("barrierentry") == before
    assert "sold" in sagas_of("saga")


@pytest.mark.parametrize(
    ("model", "saga_id", "state"),
    [
        (
            Orchestrated,
            "sold",
            {"status": "parked", "parked_at": F("started_at"), "finished_at": None},
        ),
        (Orchestrated, "sold", {"status": "compensating", "finished_at": None}),
        (
            Choreographed,
            "delivered",
            {
                "status": "parked",
                "parked_at": F("started_at"),
                "parked_step": "x",
                "parked_reason": "y",
            },
        ),
        (Choreographed, "delivered", {"status": "compensating", "phase": 3, "finished_at": None}),
    ],
)
@pytest.mark.usefixtures("old_shop")
def test_saga_that_is_parked_or_being_returned_is_kept_however_old(model, saga_id, state):
    model.objects.filter(pk=saga_id).update(**state)
    entries = entries_of(saga_id)
    assert close() == 15
    assert entries_of(saga_id) == entries
    assert model.objects.filter(pk=saga_id).exists()


@pytest.mark.usefixtures("old_shop")
def test_saga_with_a_skipped_step_is_kept():
    Intervention.objects.create(saga_id="sold", action="skip", step="x", requested_by="eva")
    assert close() == 15
    assert Orchestrated.objects.filter(pk="sold").exists()


def test_saga_is_closed_later_where_a_service_was_away_and_the_audit_never_minds(
    old_shop, doors, broker
):
    doors.away = {"pagos"}
    assert close() == 0
    assert not Orchestrated.objects.filter(pk="sold").exists()
    assert entries_of("sold")
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    doors.away = set()
    assert close() == 16
    assert not entries_of("sold")


@pytest.mark.usefixtures("old_shop")
def test_dead_letter_of_a_closed_saga_can_be_retried_no_more():
    FailedMessage.objects.create(
        event_id="x", event_type="y", saga_id="sold", body=b"", status="dead_lettered", reason="z"
    )
    close()
    assert not FailedMessage.objects.exists()


@pytest.mark.usefixtures("old_shop")
def test_closed_saga_can_not_be_given_back(monkeypatch):
    close()
    accepted = Client().get("/carrito/accepted/sold").content

    class Owner:
        def get(self, *, path):
            return ServiceResponse(200, accepted)

    monkeypatch.setattr("coordination.owners.client", lambda service: Owner())
    response = Client().post(
        "/saga/sold/compensate", data={"requested_by": "eva"}, content_type="application/json"
    )
    assert response.status_code == 409, response.content
    assert response.json()["code"] == "closed"


@pytest.mark.parametrize("direction", ["", "/undo"])
def test_late_call_of_a_closed_saga_moves_no_stock_and_no_money(old_shop, broker, direction):
    """The barrier has no entry any more, but the business rows remain."""
    close()
    stock = list(Product.objects.values("available", "reserved", "sold"))
    payments = list(Payment.objects.order_by("pk").values("pk", "status", "amount"))
    checkout = SAGAS["checkout"]
    for step in checkout.steps[1:]:
        command = {
            "saga_id": "sold",
            "saga": "checkout",
            "step": step.name,
            "subject": "cart of sold",
            "cart_id": "cart of sold",
            "items": [{"product_id": str(old_shop.product.pk), "quantity": 2}],
            "amount": "25.00",
            "payment_method": "credit_card",
            "user_id": "ana",
        }
        Client(raise_request_exception=False).post(
            f"/steps/{step.operation}{direction}", data=command, content_type="application/json"
        )
    assert list(Product.objects.values("available", "reserved", "sold")) == stock
    assert list(Payment.objects.order_by("pk").values("pk", "status", "amount")) == payments
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()


def entries_of(saga_id):
    """The number of its barrier entries in each service."""
    counts = {}
    for service in PARTICIPANTS:
        entries = apps.get_model(service, "barrierentry")._default_manager
        if count := entries.filter(saga_id=saga_id).count():
            counts[service] = count
    return counts
