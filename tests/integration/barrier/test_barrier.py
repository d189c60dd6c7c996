"""The barrier: each step takes effect once, and never after its undo, through either door."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from django.apps import apps
from django.db import IntegrityError

from catalogue import refusals
from catalogue.commands import Charge
from contracts import events
from contracts.events import Event, Facts
from contracts.outcomes import NOTHING_TO_UNDO, Done, Failure, Refused
from contracts.saga import Context, Undo
from pagos import operations
from pagos.models import BarrierEntry, OutboxEntry, Payment, Refund
from participant import barrier, sql
from participant.barrier import Entered
from participant.executing import execute
from tarjetas.models import Charge as NetworkCharge

REACTIONS = apps.get_app_config("pagos").reactions()
pytestmark = pytest.mark.django_db(databases=["pagos", "tarjetas"])

CHARGE_URL = "/steps/pagos.charge"
REFUND_URL = "/steps/pagos.charge/undo"
STEP = {"saga": "checkout", "step": "process_payment"}
ITEMS = [{"product_id": "1", "quantity": 1}]
CHARGE = {"subject": "c", "amount": "12.50", "payment_method": "credit_card"}


def charge_of(saga_id: str, **changes) -> Charge:
    return msgspec.convert({**STEP, **CHARGE, "saga_id": saga_id, **changes}, Charge)


def charge(*saga_ids: str, **changes):
    commands = [charge_of(saga_id, **changes) for saga_id in saga_ids]
    return [
        executed.outcome for executed in execute(operation=operations.charge, commands=commands)
    ]


def refund(*saga_ids: str):
    commands = [Undo(saga_id=saga_id, **STEP) for saga_id in saga_ids]
    return [
        executed.outcome for executed in execute(operation=operations.refund, commands=commands)
    ]


def hear(event_type: str, *saga_ids: str, redrive: bool = False, **data) -> list[Event]:
    """Delivers the event of these checkouts to pagos; the events that it publishes."""
    before = OutboxEntry.objects.count()
    reaction = next(
        reaction
        for reaction in REACTIONS
        if (reaction.saga, reaction.on) == ("checkout", event_type)
    )
    reaction.handle([_event(event_type, saga_id, redrive, data) for saga_id in saga_ids])
    published = OutboxEntry.objects.order_by("id")[before:]
    return [events.decode(entry.body.encode()) for entry in published]


def _event(event_type: str, saga_id: str, redrive: bool, changes: dict) -> Event:
    context = Context(
        saga="checkout",
        saga_id=saga_id,
        pattern="choreographed",
        subject="c",
        data={"total_amount": "12.50", "payment_method": "credit_card", "items": ITEMS} | changes,
    )
    return Event(
        id=f"{event_type} {saga_id}",
        type=event_type,
        saga_id=saga_id,
        saga="checkout",
        occurred_at=datetime.now(UTC),
        data=Facts(context=msgspec.Raw(msgspec.json.encode(context))),
        redrive=redrive,
    )


def post(client, url: str, body):
    return client.post(url, json.dumps(body), content_type="application/json")


def test_step_done_once_answers_with_the_first_outcome():
    (first,) = charge("s")
    (again,) = charge("s", amount="99.00")
    assert again == first
    assert Payment.objects.get().amount == Decimal("12.50")


def test_what_was_done_over_http_is_known_to_the_event(client):
    body = post(client, CHARGE_URL, {"saga_id": "s", **STEP, **CHARGE}).json()
    assert hear("inventory.reserved", "s") == []
    assert Payment.objects.get().id == body["payment_id"]


def test_what_was_done_on_an_event_is_known_over_http(client):
    (event,) = hear("inventory.reserved", "s")
    again = post(client, CHARGE_URL, {"saga_id": "s", **STEP, **CHARGE})
    assert again.json() == event.data.result
    assert Payment.objects.count() == 1


def test_redrive_publishes_the_stored_outcome_again_under_the_same_event_id():
    (first,) = hear("inventory.reserved", "s")
    (again,) = hear("inventory.reserved", "s", redrive=True)
    assert (again.id, again.data.result) == (first.id, first.data.result)
    assert Payment.objects.count() == 1


def test_refusal_is_stored_and_answered_again():
    (refused,) = charge("s", payment_method="card_declined")
    assert refused.code == refusals.CARD_DECLINED
    assert charge("s") == [refused]


def test_undo_before_the_action_blocks_it_for_good():
    assert refund("s") == [NOTHING_TO_UNDO]
    (late,) = charge("s")
    assert late.code == refusals.ABORTED
    assert not Payment.objects.exists()


def test_undo_of_what_never_happened_changes_nothing():
    refund("s")
    assert not Payment.objects.exists()
    assert not Refund.objects.exists()


def test_undo_of_a_refused_step_is_a_success_that_changes_nothing():
    charge("s", payment_method="card_declined")
    assert refund("s") == [NOTHING_TO_UNDO]
    assert Payment.objects.get().status == "refused"
    assert not Refund.objects.exists()


def test_undo_happens_once_and_answers_the_same_again(client):
    charge("s")
    (first,) = refund("s")
    assert refund("s") == [first]
    assert post(client, REFUND_URL, {"saga_id": "s", **STEP}).json() == first.data
    assert hear("order.cancelled", "s") == []
    assert Refund.objects.count() == 1


def test_action_after_its_undo_answers_with_its_first_outcome():
    (first,) = charge("s")
    refund("s")
    assert charge("s") == [first]
    assert Payment.objects.get().status == "refunded"


def test_refusal_is_published_with_why_the_saga_is_undone():
    (event,) = hear("inventory.reserved", "s", payment_method="expired_card")
    assert event.type == "payment.failed"
    assert event.data.failure == Failure(
        "process_payment", refusals.EXPIRED_CARD, "The card is past its date."
    )


def test_blocked_action_publishes_nothing_because_the_saga_is_being_undone():
    (undone,) = hear("order.cancelled", "s")
    assert undone.type == "payment.refunded"
    assert hear("inventory.reserved", "s") == []


def test_saga_twice_in_one_list_takes_effect_once():
    first, again, other = charge("s", "s", "t")
    assert first == again != other
    assert Payment.objects.count() == 2


def test_saga_twice_in_one_batch_of_events_is_published_once():
    assert len(hear("inventory.reserved", "s", "t", "s")) == 2


def test_list_is_answered_in_its_order():
    charge("b")
    refund("a")
    outcomes = charge("c", "a", "b", payment_method="expired_card")
    codes = [outcome.code if isinstance(outcome, Refused) else "done" for outcome in outcomes]
    assert codes == [refusals.EXPIRED_CARD, refusals.ABORTED, "done"]


class Crash(Exception):
    """The process dies before the commit."""


def test_crash_before_the_commit_leaves_nothing():
    def die(executed: Sequence[object]) -> None:
        raise Crash

    with pytest.raises(Crash):
        execute(operation=operations.charge, commands=[charge_of("s")], in_same_transaction=die)
    assert not Payment.objects.exists()
    assert not BarrierEntry.objects.exists()
    assert isinstance(charge("s")[0], Done)


def test_fault_of_one_command_leaves_nothing_of_the_list():
    too_long_for_the_table = "c" * 65
    commands = [
        charge_of("s"),
        msgspec.structs.replace(charge_of("t"), subject=too_long_for_the_table),
    ]
    with pytest.raises(Exception, match="value too long"):
        execute(operation=operations.charge, commands=commands)
    assert not BarrierEntry.objects.exists()


@pytest.fixture
def no_barrier(monkeypatch):
    """The control: everything is fresh, nothing is kept."""

    def enter(*, operation, commands):
        fresh = {barrier.key_of(operation, command): 0 for command in commands}
        return Entered(fresh=fresh, settled={}, known={})

    monkeypatch.setattr(barrier, "enter", enter)
    monkeypatch.setattr(barrier, "record", lambda **_: None)


@pytest.mark.usefixtures("no_barrier")
def test_without_the_barrier_a_late_action_takes_the_money():
    with pytest.raises(sql.Damaged):  # the undo finds no payment to speak of
        refund("s")
    with pytest.raises(sql.Damaged):  # nor has its decision an entry in the barrier
        charge("s")
    assert NetworkCharge.objects.get().status == "captured"


@pytest.mark.usefixtures("no_barrier")
def test_without_the_barrier_only_the_constraint_stops_a_second_charge():
    with pytest.raises(sql.Damaged):
        charge("s")
    with pytest.raises(IntegrityError, match="payment_once_a_step"):
        charge("s")
