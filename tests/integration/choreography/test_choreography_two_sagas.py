"""Two sagas whose events have the same names: each is handled by its own definition."""

from datetime import timedelta

import pytest
from django.db import transaction
from msgspec.structs import replace

from contracts import events, refusals
from contracts.outcomes import Failure, Refused
from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Saga, Step
from messaging.brokers import Delivery, Message, connect
from messaging.brokers.memory import forget
from messaging.consumer import Consumer
from saga_choreography import operations, queries
from saga_choreography.models import Action, FailedMessage, Intervention, SagaEvent
from saga_choreography.models import Saga as Row
from saga_choreography.reactions import ProjectionHandler, take_note
from saga_choreography.tracking import track
from saga_choreography.watchdog import look
from tests.definitions import with_sagas
from tests.unit.choreography.made import NOON, event

DATABASE = "saga_choreography"
pytestmark = [pytest.mark.django_db(databases=[DATABASE]), pytest.mark.undocumented("messages")]

TWIN = Saga(
    name="twin",
    subject="order_id",
    door="/orders",
    abort="inventory.committed",
    give_back="inventory.restored",
    steps=(
        Step("open", "pedidos.accept", COMPENSABLE, done="order.created", undone="order.cancelled"),
        Step(
            "pay",
            "pagos.charge",
            COMPENSABLE,
            done="payment.processed",
            refused="payment.failed",
            undone="payment.refunded",
        ),
        Step(
            "ship",
            "envios.schedule",
            PIVOT,
            done="checkout.initiated",
            refused="checkout.abort.requested",
            undone="checkout.failed",
        ),
        Step(
            "close",
            "pedidos.complete",
            RETRIABLE,
            done="inventory.reserved",
            needs={"evidence": "ship.delivery_id", "paid": "pay.amount"},
        ),
    ),
)
"""The checkout's events with other meanings: `inventory.reserved` ends this saga."""


@pytest.fixture(autouse=True)
def _twin():
    with with_sagas(TWIN):
        yield


def row(saga_id: str) -> tuple[str, str]:
    return Row.objects.values_list("saga", "status").get(pk=saga_id)


def test_same_event_means_what_its_own_sagas_definition_says(start):
    start("a")
    track(
        received=[
            event("inventory.reserved", saga_id="a"),
            event("inventory.reserved", saga_id="b", saga="twin"),
        ],
        now=NOON,
    )
    assert (row("a"), row("b")) == (("checkout", "running"), ("twin", "completed"))
    first, second = (queries.state(found=Row.objects.get(pk=saga_id)) for saga_id in "ab")
    assert first.current_step == "process_payment"
    assert [step.step_name for step in second.steps] == [step.name for step in TWIN.steps]


@pytest.fixture
def receive():
    """Handles an event, as the consumer does."""
    reactions = [
        ProjectionHandler(saga=saga, on="inventory.reserved") for saga in ("checkout", "twin")
    ]
    consumer = Consumer(service=DATABASE, broker=connect("memory://twins"), reactions=reactions)

    def receive(*received):
        bodies = [events.encode(event) for event in received]
        consumer.handle(
            [Delivery(Message(str(n), "t", body), False, n) for n, body in enumerate(bodies)]
        )

    yield receive
    forget("twins")


def test_event_of_one_saga_with_the_id_of_another_touches_nothing(start, receive):
    start("s", "t")
    before = list(Row.objects.order_by("pk").values())
    receive(
        event("inventory.reserved", saga_id="s", saga="twin"),
        event("inventory.reserved", saga_id="t"),
    )
    assert list(Row.objects.order_by("pk").values()) == before
    assert set(SagaEvent.objects.values_list("saga_id", "event_type")) == {
        ("s", "checkout.initiated"),
        ("t", "checkout.initiated"),
        ("t", "inventory.reserved"),
    }
    parked = FailedMessage.objects.get()
    assert (parked.event_type, parked.saga_id) == ("twin.inventory.reserved", "s")
    assert "is a checkout" in parked.reason


def test_of_two_sagas_with_one_id_the_first_is_kept(receive):
    receive(
        event("inventory.reserved", saga_id="s"),
        event("inventory.reserved", saga_id="s", saga="twin"),
    )
    assert row("s") == ("checkout", "running")
    assert FailedMessage.objects.get().event_type == "twin.inventory.reserved"


def test_giving_up_one_saga_stops_no_other_of_that_id(saga, published):
    saga("completed", until=2)
    report = event(
        "step.parked",
        saga="twin",
        failure=Failure("pay", "given_up", "why"),
        service="pagos",
        event="inventory.reserved",
    )
    take_note(received=[report], now=NOON)
    assert published() == []
    assert not Intervention.objects.exists()
    own = replace(report, saga="checkout")
    take_note(received=[own, report], now=NOON)
    assert [event.type for event in published()] == ["checkout.abort.requested"]


def undo(saga_id: str) -> Action | Refused | None:
    with transaction.atomic(using=DATABASE):
        return operations.compensate(saga_id=saga_id, requested_by="eva", reason="", now=NOON)


def test_each_is_turned_back_by_its_own_event_at_its_own_pivot(start, published):
    start("a")
    track(received=[event("payment.processed", saga_id="b", saga="twin")], now=NOON)
    assert (undo("a"), undo("b")) == (Action.ABORT, Action.ABORT)
    first, second = published()
    assert (first.saga, first.type) == ("checkout", "checkout.abort.requested")
    assert first.data.failure.step == "commit_inventory"
    assert (second.saga, second.type) == ("twin", "inventory.committed")
    assert second.data.failure.step == "ship"
    assert second.id == events.event_id(saga_id="b", step="ship", direction="abort")


def test_event_past_one_sagas_pivot_may_be_the_start_of_the_other(start):
    start("a")
    track(received=[event("checkout.initiated", saga_id="b", saga="twin")], now=NOON)
    assert undo("a") is Action.ABORT
    assert undo("b").code == refusals.PAST_PIVOT


def test_each_is_redriven_with_the_last_event_of_its_own_chain(settings, start, published):
    settings.REDRIVE_SECONDS = 10
    start("a")
    received = [
        event(event_type, saga_id="b", saga="twin")
        for event_type in ("checkout.initiated", "order.created")
    ]
    track(received=received, now=NOON)
    look(now=NOON + timedelta(seconds=12))
    redrives = published()
    assert {event.type for event in redrives} == {"step.redrive.requested"}
    assert {
        (redrive.saga_id, redrive.saga, redrive.data.result["event"]) for redrive in redrives
    } == {
        ("a", "checkout", "checkout.initiated"),
        ("b", "twin", "checkout.initiated"),
    }
