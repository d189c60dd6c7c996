"""Two sagas at once, whose steps and events have the same names, at the same participants: neither
touches what is the other's.
"""

import json

import msgspec
import pytest

from catalogue import SAGAS
from contracts import events, projection
from contracts.events import Facts
from contracts.saga import Context, Direction
from inventario import operations
from inventario.models import BarrierEntry, FailedMessage, OutboxEntry, Reservation
from messaging import reactions
from messaging.brokers import Unroutable
from messaging.consumer import Consumer
from tests.definitions import with_sagas
from tests.integration.messaging.conftest import message_of, receive

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"
SAGA_NAMES = ["checkout", "twin"]
TWIN = msgspec.structs.replace(SAGAS["checkout"], name="twin", door="/twins")


@pytest.fixture
def consumer(broker):
    with with_sagas(TWIN):
        yield Consumer(
            service=SERVICE,
            broker=broker,
            reactions=reactions.of(service=SERVICE, module=operations),
        )


@pytest.fixture
def published():
    """The events of inventario since the last call, in order."""
    before = [0]

    def published():
        rows = list(OutboxEntry.objects.order_by("id").filter(id__gt=before[0]))
        before[0] = rows[-1].id if rows else before[0]
        return [(row.event_type, row.saga_id) for row in rows]

    return published


def reservations():
    return dict(Reservation.objects.values_list("saga_id", "status"))


def of_step(event, event_type):
    return msgspec.structs.replace(event, id=f"{event_type} {event.saga_id}", type=event_type)


def paid(event):
    """The same for a saga whose payment is known."""
    decoded = msgspec.json.decode(event.data.context, type=Context)
    results = {"process_payment": {"amount": decoded.data["total_amount"]}}
    context = msgspec.json.encode(msgspec.structs.replace(decoded, results=results))
    return msgspec.structs.replace(event, data=Facts(context=msgspec.Raw(context)))


def test_choreographed_each_saga_takes_its_own_steps(consumer, initiated, product, published):
    first, second = (initiated(saga=name, saga_id=f"of {name}") for name in SAGA_NAMES)
    receive(consumer, first, second)
    assert published() == [
        ("checkout.inventory.reserved", "of checkout"),
        ("twin.inventory.reserved", "of twin"),
    ]
    receive(consumer, of_step(second, "payment.failed"), of_step(paid(first), "order.created"))
    assert sorted(published()) == [
        ("checkout.inventory.committed", "of checkout"),
        ("twin.inventory.unreserved", "of twin"),
    ]
    assert reservations() == {"of checkout": "committed", "of twin": "released"}
    product.refresh_from_db()
    assert (product.available, product.reserved, product.sold) == (9, 0, 1)


def asked(event, step, direction):
    """The request for a step of the event's saga, as its orchestrator sends it."""
    context = msgspec.json.decode(event.data.context, type=Context)
    step = SAGAS[event.saga].step(step)
    command = projection.command(step=step, direction=direction, context=context)
    request = projection.request_of(step, direction)
    return msgspec.structs.replace(
        of_step(event, request), data=Facts(context=msgspec.Raw(msgspec.json.encode(command)))
    )


def test_by_message_each_is_asked_and_answers_as_itself(consumer, initiated, published):
    first, second = (initiated(saga=name, saga_id=f"of {name}") for name in SAGA_NAMES)
    receive(
        consumer, *(asked(event, "reserve_inventory", Direction.DO) for event in (first, second))
    )
    assert published() == [
        ("checkout.inventory.reserve.replied", "of checkout"),
        ("twin.inventory.reserve.replied", "of twin"),
    ]
    receive(
        consumer,
        asked(second, "reserve_inventory", Direction.UNDO),
        asked(paid(first), "commit_inventory", Direction.DO),
    )
    assert sorted(published()) == [
        ("checkout.inventory.commit.replied", "of checkout"),
        ("twin.inventory.unreserve.replied", "of twin"),
    ]
    assert reservations() == {"of checkout": "committed", "of twin": "released"}


def test_barrier_names_the_saga_of_each_entry(consumer, initiated):
    receive(consumer, *(initiated(saga=name, saga_id=f"of {name}") for name in SAGA_NAMES))
    entries = set(BarrierEntry.objects.values_list("saga_id", "saga", "step", "direction"))
    assert entries == {(f"of {name}", name, "reserve_inventory", "do") for name in SAGA_NAMES}


def test_request_whose_command_is_of_the_other_saga_is_dead_lettered(
    consumer, initiated, published
):
    stray = asked(initiated(saga="twin"), "reserve_inventory", Direction.DO)
    receive(consumer, msgspec.structs.replace(stray, saga="checkout"))
    assert published() == []
    assert not Reservation.objects.exists()
    assert "of twin" in FailedMessage.objects.get().reason


def test_broker_delivers_an_event_only_to_reactions_of_its_own_saga(broker, initiated):
    of_both = [events.route(name, "checkout.initiated") for name in SAGA_NAMES]
    broker.declare(queue="of one", events=of_both[:1])
    with pytest.raises(Unroutable):
        broker.publish([message_of(initiated(saga="twin"))])
    broker.declare(queue="of both", events=of_both)
    broker.publish([message_of(initiated(saga=name)) for name in SAGA_NAMES])
    assert broker.depths(["of one", "of both"]) == {"of one": 1, "of both": 2}
    (only,) = broker.subscribe(queue="of one", prefetch=9).take(limit=9, timeout=0)
    assert json.loads(only.message.body)["saga"] == "checkout"
