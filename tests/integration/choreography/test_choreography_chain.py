"""The chain of the real services: it ends right, loses what it may, and heals what it lost."""

import random

import pytest
from django.db import transaction

from contracts import events
from contracts.events import Event
from contracts.outcomes import Refused
from messaging.brokers import connect
from messaging.brokers.memory import forget
from saga_choreography import operations, tracking, trail, watchdog
from saga_choreography.models import Action, Intervention, Saga
from tests.integration.choreography.town import TRACKING, LoseOnce, Town, ended_right, outcome

pytestmark = pytest.mark.django_db(databases=["carrito", "inventario", "pagos", TRACKING])


@pytest.fixture(autouse=True)
def _impatience(settings):
    """The watchdog nudges at the first look; a deadline comes only where a test says so."""
    settings.NUDGE_SECONDS = 0
    settings.SAGA_SECONDS = 3600


@pytest.fixture
def town():
    yield Town(connect("memory://town"))
    forget("town")


def completed(town: Town) -> str:
    return town.check_out()


def out_of_stock(town: Town) -> str:
    return town.check_out(quantity=99)


def declined(town: Town) -> str:
    return town.check_out(payment_method="card_declined")


WAYS = {"completed": completed, "out of stock": out_of_stock, "declined": declined}
ENDS = {"completed": "completed", "out of stock": "failed", "declined": "compensated"}


@pytest.mark.parametrize("way", WAYS)
def test_checkout_ends_right(town, way):
    saga_id = WAYS[way](town)
    town.settle()
    assert outcome(saga_id)["tracked"] == ENDS[way]
    assert ended_right(saga_id)


@pytest.mark.parametrize("way", WAYS)
def test_checkout_ends_right_with_nothing_tracked(town, way):
    saga_id = WAYS[way](town)
    town.settle(loses=lambda service, event: service == TRACKING)
    assert outcome(saga_id)["checkout"] == ENDS[way]
    assert outcome(saga_id)["tracked"] == "running"


def test_return_undoes_a_completed_checkout(town):
    saga_id = completed(town)
    town.settle()
    town.ask(saga_id)
    town.settle()
    assert outcome(saga_id) == {
        "checkout": "compensated",
        "tracked": "compensated",
        "cart": "checked_out",
        "order": "cancelled",
        "payment": "refunded",
        "stock": (5, 0, 0),
    }


@pytest.mark.parametrize("point", range(11))
def test_abort_at_any_moment_ends_right(town, point):
    saga_id = completed(town)
    town.settle(most=point)
    answered = town.ask(saga_id)
    town.settle()
    assert ended_right(saga_id)
    if not isinstance(answered, Refused):
        assert outcome(saga_id)["tracked"] == "compensated"


def asked_too_late(town: Town) -> str:
    """Sold and confirmed, and nothing of it was tracked when a person asks for its undoing."""
    saga_id = completed(town)
    town.settle(loses=lambda service, event: service == TRACKING)
    assert town.ask(saga_id) is Action.ABORT
    return saga_id


def test_abort_that_comes_too_late_becomes_the_return_that_was_asked_for(town):
    saga_id = asked_too_late(town)
    town.settle()
    for _ in range(2):  # the nudges bring the completion here, and then what follows from it
        town.look()
        town.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)
    asked = Intervention.objects.filter(saga_id=saga_id).order_by("id")
    assert [(one.action, one.requested_by) for one in asked] == [
        ("abort", "eva"),
        ("return", "eva"),
    ]


def test_control_without_the_return_who_was_answered_finds_the_saga_completed(town, monkeypatch):
    monkeypatch.setattr(tracking, "_return", lambda completed, now: None)
    saga_id = asked_too_late(town)
    for _ in range(3):
        town.look()
        town.settle()
    assert outcome(saga_id)["tracked"] == "completed"


def test_any_message_that_is_lost_around_a_late_abort_is_made_up_for(town):
    asked_too_late(town)
    town.heard.clear()
    for _ in range(2):
        town.look()
        town.settle()
    lost = list(dict.fromkeys(town.heard))
    assert (TRACKING, events.CHECKOUT_COMPLETED) in lost
    for service, event_type in lost:
        saga_id = asked_too_late(town)
        loses = LoseOnce(service, event_type)
        for _ in range(4):
            town.look()
            town.settle(loses=loses)
        assert loses.has_lost, (service, event_type)
        assert outcome(saga_id)["tracked"] == "compensated", (service, event_type)
        assert ended_right(saga_id), (service, event_type, outcome(saga_id))


def test_deadline_that_comes_too_late_returns_nothing(town, settings):
    saga_id = completed(town)
    settings.SAGA_SECONDS = 0
    town.settle(loses=lambda service, event: service == TRACKING)
    for _ in range(3):
        town.look()
        town.settle()
    assert outcome(saga_id)["tracked"] == "completed"


def test_person_who_asks_after_the_deadline_is_kept_her_word(town, settings):
    saga_id = completed(town)
    town.settle(loses=lambda service, event: service == TRACKING)
    settings.SAGA_SECONDS = 0
    town.look()
    assert town.ask(saga_id) is None
    for _ in range(3):
        town.look()
        town.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def test_stopped_saga_whose_last_step_never_ends_is_returned_and_not_parked(town):
    saga_id = completed(town)

    def away(service: str, event: Event) -> bool:
        """carrito hears nothing of the sale."""
        return (service, event.type) == ("carrito", events.INVENTORY_COMMITTED)

    town.settle(loses=LoseOnce(TRACKING, events.INVENTORY_COMMITTED), most=8)
    assert town.ask(saga_id) is Action.ABORT
    for _ in range(watchdog.MOST_NUDGES + 3):
        town.settle(loses=away)
        town.look()
    town.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def test_abort_before_the_pivot_undoes_everything(town):
    saga_id = completed(town)
    town.settle(loses=LoseOnce("inventario", events.ORDER_CREATED))
    town.ask(saga_id)
    town.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def lost_ones(town: Town, way: str) -> list[tuple[str, str]]:
    """Every message of this way, by who should hear it."""
    if way in WAYS:
        WAYS[way](town)
        town.settle()
    elif way == "aborted":
        saga_id = completed(town)
        town.settle(loses=LoseOnce("inventario", events.ORDER_CREATED))
        town.heard.clear()
        town.ask(saga_id)
        town.settle()
    else:
        saga_id = completed(town)
        town.settle()
        town.heard.clear()
        town.ask(saga_id)
        town.settle()
    return list(town.heard)


@pytest.mark.parametrize("way", [*WAYS, "aborted", "returned"])
def test_any_message_that_is_lost_is_made_up_for(town, way):
    lost = lost_ones(town, way)
    assert lost
    for service, event_type in lost:
        saga_id = WAYS.get(way, completed)(town)
        loses = LoseOnce(service, event_type)
        if way == "aborted":
            town.settle(loses=LoseOnce("inventario", events.ORDER_CREATED))
            town.ask(saga_id)
        if way == "returned":
            town.settle()
            town.ask(saga_id)
        town.settle(loses=loses)
        town.look()
        town.settle()
        assert loses.has_lost, (service, event_type)
        assert ended_right(saga_id), (service, event_type, outcome(saga_id))


def test_lost_message_leaves_a_saga_hanging_without_the_watchdog(town):
    saga_id = completed(town)
    town.settle(loses=LoseOnce("pagos", events.INVENTORY_RESERVED))
    town.settle()
    assert outcome(saga_id)["checkout"] == "running"


def test_saga_past_its_deadline_is_aborted_and_undone(town, settings):
    saga_id = completed(town)
    town.settle(loses=LoseOnce("carrito", events.PAYMENT_PROCESSED))
    settings.SAGA_SECONDS = 0
    town.look()
    town.settle()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def ended_as_told(saga_id: str, promised: set[str]) -> bool:
    """Whoever was answered that it would be undone finds it undone."""
    is_kept = saga_id not in promised or outcome(saga_id)["tracked"] != "completed"
    return is_kept and ended_right(saga_id)


@pytest.mark.parametrize("seed", range(6))
def test_reordered_doubled_and_lost_messages_end_right(seed):
    """With a loss in seven, five nudges in a row may be lost: what is parked then is retried."""
    name = f"memory://rough{seed}?seed={seed}&duplicate=0.3&drop=0.15&reorder=1"
    chance = random.Random(seed)
    try:
        town = Town(connect(name))
        sagas = [WAYS[chance.choice(list(WAYS))](town) for _ in range(6)]
        promised = set()
        for _ in range(300):
            town.settle(most=chance.randint(1, 20))
            if chance.random() < 0.1:
                asked = chance.choice(sagas)
                promised |= set() if isinstance(town.ask(asked), Refused) else {asked}
            if chance.random() < 0.3:
                town.look()
                town.retry_parked()
            if all(ended_as_told(one, promised) for one in sagas):
                break
        town.settle()
        assert [one for one in sagas if not ended_as_told(one, promised)] == []
    finally:
        forget(f"rough{seed}")


@pytest.mark.parametrize("handled", range(7))
def test_saga_whose_rows_somebody_typed_over_is_undone_wherever_it_stands(town, handled):
    saga_id = town.check_out()
    town.settle(most=handled)
    Saga.objects.filter(pk=saga_id).update(context=[], stage=9)
    with transaction.atomic(using=TRACKING):
        asked = operations.compensate(
            saga_id=saga_id, requested_by="eva", reason="", now=trail.now()
        )
    assert asked is Action.RETURN
    town.settle()
    found = outcome(saga_id)
    assert found["tracked"] == found["checkout"]
    assert found["checkout"] in ("failed", "compensated")
    assert ended_right(saga_id)
