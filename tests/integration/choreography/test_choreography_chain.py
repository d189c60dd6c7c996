"""The chain of the real services: it ends correctly, also if messages are lost."""

import random

import pytest
from django.db import transaction

from catalogue import SAGAS
from contracts.events import Event
from contracts.outcomes import Refused
from messaging.brokers import connect
from messaging.brokers.memory import forget
from saga_choreography import operations, store, tracking, watchdog
from saga_choreography.models import Action, Intervention, Saga
from tests.integration.choreography.in_process import (
    SERVICES,
    TRACKING,
    Choreography,
    LoseOnce,
    ended_right,
    outcome,
)

pytestmark = pytest.mark.django_db(databases=SERVICES)

AT_ONCE = 0.001
WAYS = {
    "completed": {},
    "out of stock": {"quantity": 99},
    "declined": {"payment_method": "card_declined"},
}
REFUSED_AT = {"out of stock": "inventario.reserve", "declined": "pagos.charge"}
BY_THEMSELVES = [
    name for name, saga in SAGAS.items() if not any(step.decided_by for step in saga.steps)
]
"""The sagas without decisions of people: those are tested in tests/sagas and by the explorer."""
every_saga = pytest.mark.parametrize("name", BY_THEMSELVES)


@pytest.fixture(autouse=True)
def _impatience(settings):
    """The watchdog redrives at its first look; deadlines pass only if a test sets them."""
    settings.REDRIVE_SECONDS = 0
    settings.SAGA_SECONDS = 3600


@pytest.fixture
def name():
    """The saga of tests that are about a single saga."""
    return "checkout"


@pytest.fixture
def choreography(name):
    yield Choreography(connect("memory://choreography"), saga=name)
    forget("choreography")


def end_of(way: str, name: str) -> str:
    """The expected status: undone, if a step had happened before the refused step."""
    if way not in REFUSED_AT:
        return "completed"
    operations = [step.operation for step in SAGAS[name].steps]
    return "failed" if operations.index(REFUSED_AT[way]) == 1 else "compensated"


@every_saga
@pytest.mark.parametrize("way", WAYS)
def test_saga_ends_right(choreography, name, way):
    saga_id = choreography.begin(**WAYS[way])
    choreography.settle()
    assert outcome(saga_id)["tracked"] == end_of(way, name)
    assert ended_right(saga_id)


@every_saga
@pytest.mark.parametrize("way", WAYS)
def test_saga_ends_right_with_nothing_tracked(choreography, name, way):
    saga_id = choreography.begin(**WAYS[way])
    choreography.settle(loses=lambda service, event: service == TRACKING)
    assert outcome(saga_id)["accepted"] == end_of(way, name)
    assert outcome(saga_id)["tracked"] is None


@every_saga
def test_return_undoes_a_completed_saga(choreography, name):
    saga_id = choreography.begin()
    choreography.settle()
    choreography.ask(saga_id)
    choreography.settle()
    assert outcome(saga_id) == {
        "accepted": "compensated",
        "tracked": "compensated",
        "made": "cancelled",
        "payment": "refunded",
        "stock": (5, 0, 0),
    }


@every_saga
@pytest.mark.parametrize("point", range(1, 12, 2))
def test_abort_at_any_moment_ends_right(choreography, name, point):
    saga_id = choreography.begin()
    choreography.settle(most=point)
    answer = choreography.ask(saga_id)
    choreography.settle()
    assert ended_right(saga_id)
    if not isinstance(answer, Refused):
        assert outcome(saga_id)["tracked"] == "compensated"


def all_but_its_start(service: str, event: Event) -> bool:
    """The status that tracking has."""
    return service == TRACKING and event.type != "checkout.initiated"


def asked_too_late(choreography: Choreography) -> str:
    """A person requests the undo of a completed saga of which only the start was tracked."""
    saga_id = choreography.begin()
    choreography.settle(loses=all_but_its_start)
    assert choreography.ask(saga_id) is Action.ABORT
    return saga_id


def test_abort_that_comes_too_late_becomes_the_return_that_was_asked_for(choreography):
    saga_id = asked_too_late(choreography)
    choreography.settle()
    for _ in range(2):  # the redrives bring the completion here, then the return follows
        choreography.look()
        choreography.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)
    interventions = Intervention.objects.filter(saga_id=saga_id).order_by("id")
    assert [(intervention.action, intervention.requested_by) for intervention in interventions] == [
        ("abort", "eva"),
        ("return", "eva"),
    ]


def test_control_without_the_return_an_accepted_abort_leaves_the_saga_completed(
    choreography, monkeypatch
):
    monkeypatch.setattr(tracking, "_return", lambda completed, now: None)
    saga_id = asked_too_late(choreography)
    for _ in range(3):
        choreography.look()
        choreography.settle()
    assert outcome(saga_id)["tracked"] == "completed"


def test_any_message_that_is_lost_around_a_late_abort_is_made_up_for(choreography):
    asked_too_late(choreography)
    choreography.received.clear()
    for _ in range(2):
        choreography.look()
        choreography.settle()
    lost = list(dict.fromkeys(choreography.received))
    assert (TRACKING, "checkout.completed") in lost
    for service, event_type in lost:
        saga_id = asked_too_late(choreography)
        loses = LoseOnce(service, event_type)
        for _ in range(4):
            choreography.look()
            choreography.settle(loses=loses)
        assert loses.has_lost, (service, event_type)
        assert outcome(saga_id)["tracked"] == "compensated", (service, event_type)
        assert ended_right(saga_id), (service, event_type, outcome(saga_id))


def test_deadline_that_comes_too_late_returns_nothing(choreography, settings):
    saga_id = choreography.begin()
    settings.SAGA_SECONDS = AT_ONCE
    choreography.settle(loses=all_but_its_start)
    for _ in range(3):
        choreography.look()
        choreography.settle()
    assert outcome(saga_id)["tracked"] == "completed"


def test_abort_accepted_after_the_deadline_is_kept(choreography, settings):
    saga_id = choreography.begin()
    choreography.settle(loses=all_but_its_start)
    settings.SAGA_SECONDS = AT_ONCE
    choreography.look()
    assert choreography.ask(saga_id) is None
    for _ in range(3):
        choreography.look()
        choreography.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def test_stopped_saga_whose_last_step_never_ends_is_returned_and_not_parked(choreography):
    saga_id = choreography.begin()

    def away(service: str, event: Event) -> bool:
        """carrito receives no event of the sale."""
        return (service, event.type) == ("carrito", "inventory.committed")

    choreography.settle(loses=LoseOnce(TRACKING, "inventory.committed"), most=8)
    assert choreography.ask(saga_id) is Action.ABORT
    for _ in range(watchdog.MOST_REDRIVES + 3):
        choreography.settle(loses=away)
        choreography.look()
    choreography.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def lost_before_the_pivot(choreography: Choreography) -> LoseOnce:
    """Loses the event that triggers the pivot."""
    pivot = choreography.saga.pivot
    return LoseOnce(choreography.saga.steps[pivot].service, choreography.saga.steps[pivot - 1].done)


@every_saga
def test_abort_before_the_pivot_undoes_everything(choreography, name):
    saga_id = choreography.begin()
    choreography.settle(loses=lost_before_the_pivot(choreography))
    choreography.ask(saga_id)
    choreography.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def begin(choreography: Choreography, way: str) -> str:
    """A saga that will take this course."""
    saga_id = choreography.begin(**WAYS.get(way, {}))
    if way == "aborted":
        choreography.settle(loses=lost_before_the_pivot(choreography))
    if way == "returned":
        choreography.settle()
    if way not in WAYS:
        choreography.received.clear()
        choreography.ask(saga_id)
    return saga_id


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("checkout", way) for way in ("out of stock", "declined", "returned")),
        *((saga, way) for saga in BY_THEMSELVES for way in ("completed", "aborted")),
    ],
)
def test_any_message_that_is_lost_is_made_up_for(choreography, name, way):
    begin(choreography, way)
    choreography.settle()
    lost = list(choreography.received)
    assert lost
    for service, event_type in lost:
        saga_id = begin(choreography, way)
        loses = LoseOnce(service, event_type)
        choreography.settle(loses=loses)
        choreography.look()
        choreography.settle()
        assert loses.has_lost, (service, event_type)
        assert ended_right(saga_id), (service, event_type, outcome(saga_id))


def test_lost_message_leaves_a_saga_hanging_without_the_watchdog(choreography):
    saga_id = choreography.begin()
    choreography.settle(loses=LoseOnce("pagos", "inventory.reserved"))
    choreography.settle()
    assert outcome(saga_id)["accepted"] == "running"


def test_saga_past_its_deadline_is_aborted_and_undone(choreography, settings):
    saga_id = choreography.begin()
    choreography.settle(loses=LoseOnce("carrito", "payment.processed"))
    settings.SAGA_SECONDS = AT_ONCE
    choreography.look()
    choreography.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def ended_as_told(saga_id: str, promised: set[str]) -> bool:
    """A saga whose undo was promised is undone."""
    is_kept = saga_id not in promised or outcome(saga_id)["tracked"] != "completed"
    return is_kept and ended_right(saga_id)


@pytest.mark.parametrize("seed", range(6))
def test_reordered_doubled_and_lost_messages_end_right(seed):
    """With a loss in seven, five redrives in a row may be lost: what is parked then is retried.

    Its first event reaches tracking: an unknown saga can't be redriven.
    """
    name = f"memory://rough{seed}?seed={seed}&duplicate=0.3&reorder=1"
    chance = random.Random(seed)

    def loses(service: str, event: Event) -> bool:
        is_first = (service, event.type) == (TRACKING, "checkout.initiated")
        return not is_first and chance.random() < 0.15

    try:
        choreography = Choreography(connect(name))
        sagas = [choreography.begin(**chance.choice(list(WAYS.values()))) for _ in range(6)]
        promised = set()
        for _ in range(300):
            choreography.settle(most=chance.randint(1, 20), loses=loses)
            if chance.random() < 0.1:
                saga_id = chance.choice(sagas)
                promised |= set() if isinstance(choreography.ask(saga_id), Refused) else {saga_id}
            if chance.random() < 0.3:
                choreography.look()
                choreography.retry_parked()
            if all(ended_as_told(saga, promised) for saga in sagas):
                break
        choreography.settle()
        assert [saga for saga in sagas if not ended_as_told(saga, promised)] == []
    finally:
        forget(f"rough{seed}")


@pytest.mark.parametrize("handled", range(1, 8))
def test_saga_whose_rows_were_edited_by_hand_is_undone_wherever_it_stands(choreography, handled):
    saga_id = choreography.begin()
    choreography.settle(most=handled)
    Saga.objects.filter(pk=saga_id).update(context=[], phase=9)
    with transaction.atomic(using=TRACKING):
        action = operations.compensate(
            saga_id=saga_id, requested_by="eva", reason="", now=store.now()
        )
    assert action is Action.RETURN
    choreography.settle()
    states = outcome(saga_id)
    assert states["tracked"] == states["accepted"]
    assert states["accepted"] in ("failed", "compensated")
    assert ended_right(saga_id)
