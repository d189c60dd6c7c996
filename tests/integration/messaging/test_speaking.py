"""A consumer under its service's own login accepts a message only from its rightful publisher."""

import uuid

import msgspec
import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError

from contracts import events
from contracts.topology import publishers
from inventario.models import FailedMessage, OutboxEntry, Product
from messaging import failed
from messaging.brokers import connect
from messaging.components import make_topology
from messaging.consumer import Consumer, refuse_login
from tests.admin_pages import act
from tests.integration.messaging.conftest import message_of

REACTIONS = apps.get_app_config("inventario").reactions()
SERVICE = "inventario"
pytestmark = pytest.mark.django_db(databases=[SERVICE, "default"])


@pytest.fixture
def failures(initiated):
    """Delivers a checkout's event, published by that login, to the service."""

    def receive(*, speaker, login=SERVICE):
        name = uuid.uuid4()
        consumer = Consumer(
            service=SERVICE, broker=connect(f"memory://{login}@{name}"), reactions=REACTIONS
        )
        make_topology(broker=consumer.broker)
        connect(f"memory://{speaker}@{name}").publish([message_of(initiated())])
        subscription = consumer.broker.subscribe(queue=consumer.queue, prefetch=10)
        consumer.handle(subscription.take(limit=1, timeout=1))
        subscription.close()
        return list(FailedMessage.objects.values_list("status", "reason"))

    return receive


def test_event_from_its_own_publisher_is_handled(failures):
    assert failures(speaker="carrito") == []
    assert OutboxEntry.objects.get().event_type == "checkout.inventory.reserved"


@pytest.mark.parametrize("speaker", ["pagos", "saga_choreography", ""])
def test_event_from_another_publisher_is_dead_lettered(failures, speaker):
    ((status, reason),) = failures(speaker=speaker)
    assert status == "dead_lettered"
    assert reason.startswith("not_its_to_say: ")
    assert "only carrito may publish" in reason
    assert not OutboxEntry.objects.exists()
    assert not Product.objects.exclude(available=10).exists()


def test_event_from_another_publisher_is_not_retried(
    failures, client, admin_client, initiated, settings
):
    settings.AUTH = "demo"
    failures(speaker="pagos")
    row = FailedMessage.objects.get()
    event = events.decode(bytes(row.body))
    url = f"/inventario/messages/parked/{row.pk}"
    response = client.post(f"{url}/retry", content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (409, "not_its_to_say")
    assert "1 not_its_to_say" in act(admin_client, FailedMessage, "retry", row.pk, reason="why")
    again = msgspec.structs.replace(event, redrive=True)
    failed.keep(service=SERVICE, event=again, attempts=1, error=ValueError())
    row.refresh_from_db()
    assert row.status == "dead_lettered", "nor by what its owner says again"
    assert FailedMessage.objects.exclude(pk=row.pk).get().status == "retrying"
    assert client.post(f"{url}/discard", content_type="application/json").status_code == 200


def test_control_with_one_login_for_all_it_would_be_handled(failures):
    assert failures(speaker="shop", login="shop") == []
    assert OutboxEntry.objects.exists()


def test_control_without_its_table_it_would_be_handled(failures, monkeypatch):
    by_pagos = dict.fromkeys(publishers(), frozenset(["pagos"]))
    monkeypatch.setattr("contracts.topology.publishers", lambda: by_pagos)
    assert failures(speaker="pagos") == []
    assert OutboxEntry.objects.exists()


@pytest.mark.parametrize("login", ["", "shop", "pagos"])
def test_another_login_than_its_own_is_refused_where_logins_are_required(login, settings):
    settings.AUTH = "required"
    broker = connect(f"memory://{login}@{uuid.uuid4()}")
    assert "a login of its own" in refuse_login(broker=broker, service=SERVICE)
    settings.BROKER_URL = f"memory://{login}@localhost"
    settings.JWKS = settings.SERVICE_KEYS = settings.SIGNING_KEY = "keys.json"
    with pytest.raises(CommandError, match="would log in to the broker"):
        call_command("worker", service=SERVICE)


def test_its_own_is_let_in(settings):
    settings.AUTH = "required"
    broker = connect(f"memory://{SERVICE}@{uuid.uuid4()}")
    assert refuse_login(broker=broker, service=SERVICE) == ""


def test_demo_lets_any_in(settings):
    settings.AUTH = "demo"
    assert refuse_login(broker=connect("memory://here"), service=SERVICE) == ""
