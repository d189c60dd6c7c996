"""A service gives up a step: the saga is turned back, or parked."""

import json
import threading
from contextlib import contextmanager

import msgspec
import pytest
from django.db import transaction
from msgspec.structs import replace

import carrito.operations
import inventario.operations
import pagos.operations
from contracts import events, projection, refusals
from contracts.outcomes import Failure, Refused
from contracts.saga import Context
from messaging import outbox
from messaging.brokers import connect
from messaging.brokers.memory import forget
from messaging.failed import DELAYS
from pagos.models import FailedMessage, OutboxEntry, Payment, Refund
from saga_choreography import operations, queries, reactions, store
from saga_choreography.models import Intervention, Saga
from saga_choreography.reactions import ProjectionHandler, take_note, waits
from saga_choreography.store import SagaPhase
from saga_choreography.tracking import track
from tests.integration.choreography.in_process import (
    SERVICES,
    TRACKING,
    Choreography,
    ended_right,
    outcome,
)
from tests.unit.choreography.made import NOON, event, story

pytestmark = pytest.mark.django_db(databases=SERVICES)
TRIES = 1 + len(DELAYS)


@pytest.fixture(autouse=True)
def _patience(settings):
    settings.REDRIVE_SECONDS = 10
    settings.SAGA_SECONDS = 3600


@pytest.fixture
def choreography():
    yield Choreography(connect("memory://stuck"))
    forget("stuck")


@pytest.fixture
def mended():
    """Once set, what was broken works again."""
    return threading.Event()


@pytest.fixture
def broken(monkeypatch, mended):
    """The operation faults each time within the block; yields its attempts."""

    @contextmanager
    def make(operation):
        real, tries = operation.run, []

        def fault(commands):
            if mended.is_set():
                return real(commands)
            tries.append(commands)
            raise ValueError(f"{operation.name} is broken")

        with monkeypatch.context() as patch:
            patch.setitem(operation.__dict__, "run", fault)
            yield tries

    return make


@pytest.fixture
def stuck(choreography, broken):
    """A saga whose payment can't be given back, after its return was asked for."""
    saga_id = choreography.begin()
    choreography.settle()
    with broken(pagos.operations.refund):
        choreography.ask(saga_id)
        choreography.settle_to_the_last_try()
        yield saga_id


def asked(act, saga_id, reason="seen to by hand"):
    with transaction.atomic(using=TRACKING):
        return act(saga_id=saga_id, requested_by="eva", reason=reason, now=store.now())


def test_undo_that_keeps_failing_parks_the_saga_with_step_and_kind_of_error(
    choreography, broken, caplog
):
    saga_id = choreography.begin()
    choreography.settle()
    with broken(pagos.operations.refund) as tries:
        choreography.ask(saga_id)
        choreography.settle_to_the_last_try()
    saga = Saga.objects.get(pk=saga_id)
    assert len(tries) == TRIES
    assert (saga.status, saga.parked_step) == ("parked", "process_payment")
    assert "ValueError: the log of this service says more" in saga.parked_reason
    assert "is broken" not in saga.parked_reason
    assert "undo pagos.charge is broken" in caplog.text
    state = queries.state(found=saga)
    assert (state.parked.step, state.current_step) == ("process_payment", "process_payment")
    assert state.parked.since is not None


def test_retry_of_the_saga_completes_it(choreography, stuck, mended):
    mended.set()
    assert asked(operations.retry, stuck) is None
    choreography.settle()
    assert outcome(stuck)["tracked"] == "compensated"
    assert ended_right(stuck)
    assert Refund.objects.filter(saga_id=stuck).count() == 1
    assert set(FailedMessage.objects.values_list("status", flat=True)) == {"handled"}
    assert Intervention.objects.filter(saga=stuck, action="retry", requested_by="eva").exists()


def test_saga_that_still_can_not_go_on_is_parked_again(choreography, stuck):
    asked(operations.retry, stuck)
    assert Saga.objects.get(pk=stuck).status == "compensating"
    choreography.settle_to_the_last_try()
    assert Saga.objects.get(pk=stuck).status == "parked"
    assert FailedMessage.objects.count() == 1


def test_skipped_undo_goes_on_with_the_others(choreography, stuck):
    assert asked(operations.skip, stuck, "refunded by hand") is None
    choreography.settle()
    states = outcome(stuck)
    assert (states["tracked"], states["accepted"]) == ("compensated", "compensated")
    assert (states["stock"], states["payment"]) == ((5, 0, 0), "captured")
    steps = {step.step_name: step for step in queries.state(found=Saga.objects.get(pk=stuck)).steps}
    assert steps["process_payment"].error == "undo skipped: refunded by hand"
    assert steps["process_payment"].status == "completed"
    done = Intervention.objects.get(saga=stuck, action="skip")
    assert (done.requested_by, done.reason) == ("eva", "refunded by hand")


def test_skipped_step_is_published_by_its_own_service_as_the_steps_event(choreography, stuck):
    asked(operations.skip, stuck, "refunded by hand")
    choreography.settle()
    rows = OutboxEntry.objects.filter(event_type="checkout.payment.refunded")
    event = events.decode(rows.get().body.encode())
    assert event.id == events.event_id(saga_id=stuck, step="process_payment", direction="undo")
    assert event.data.result == {"skipped": "refunded by hand"}


def test_skip_passes_on_the_results_of_the_steps_before_it(start, published):
    start("s")
    results = {"reserve_inventory": {"reservation_id": "7"}}
    track(received=[event("inventory.committed", results=results)], now=NOON)
    take_note(received=[parked_step("inventory.committed", "carrito")], now=NOON)
    assert asked(operations.skip, "s") is None
    (skipped,) = published()
    assert skipped.data.result["reaction"] == "do confirm_order"
    assert msgspec.json.decode(skipped.data.context, type=Context).results == results


def _redrive(saga_id, event_type):
    """saga_choreography requests that this event of the saga be published again."""
    with transaction.atomic(using=store.SERVICE):
        saga, (*_, last) = operations._lock(saga_id)
        asked_for = replace(last, event_type=event_type)
        again = operations._redrive(asked_for, saga.context, store.now())
        outbox.add(service=store.SERVICE, events=[again])


def test_service_publishes_again_what_its_barrier_knows_and_nothing_else(choreography):
    """It does so for any event that saga_choreography asks for."""
    saga_id = choreography.begin()
    choreography.settle()
    before = OutboxEntry.objects.count()
    for wanted in ("payment.refunded", "payment.failed", "nonsense"):
        _redrive(saga_id, wanted)
        choreography.settle()
    assert OutboxEntry.objects.count() == before
    _redrive(saga_id, "payment.processed")
    choreography.settle()
    assert OutboxEntry.objects.count() == before + 1


def test_step_that_keeps_failing_before_the_pivot_turns_the_saga_back(choreography, broken):
    saga_id = choreography.begin()
    with broken(pagos.operations.charge) as tries:
        choreography.settle_to_the_last_try()
    assert len(tries) == TRIES
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)
    assert not Payment.objects.filter(saga_id=saga_id).exists()
    abort = Intervention.objects.get(saga=saga_id)
    assert (abort.action, abort.requested_by) == ("abort", "pagos")
    failure = queries.state(found=Saga.objects.get(pk=saga_id)).failure
    assert failure.code == refusals.GIVEN_UP
    assert "ValueError" in failure.detail


def test_message_that_is_tried_again_after_its_saga_was_turned_back_does_nothing(
    choreography, broken
):
    saga_id = choreography.begin()
    with broken(pagos.operations.charge):
        choreography.settle_to_the_last_try()
    FailedMessage.objects.update(status="retrying", attempts=0)
    choreography.settle_to_the_last_try()
    assert not Payment.objects.filter(saga_id=saga_id).exists()
    assert ended_right(saga_id)


@pytest.fixture
def unconfirmed(choreography, broken):
    """A saga that is sold, and whose order can't be confirmed."""
    saga_id = choreography.begin()
    with broken(carrito.operations.confirm_order):
        choreography.settle_to_the_last_try()
    return saga_id


def test_step_that_keeps_failing_after_the_pivot_parks_the_saga(choreography, unconfirmed):
    saga = Saga.objects.get(pk=unconfirmed)
    assert (saga.status, saga.parked_step) == ("parked", "confirm_order")
    asked(operations.retry, unconfirmed)
    choreography.settle()
    assert ended_right(unconfirmed)


def test_parked_saga_that_was_sold_can_be_returned(choreography, unconfirmed):
    assert asked(operations.compensate, unconfirmed) == "return"
    choreography.settle()
    assert outcome(unconfirmed)["tracked"] == "compensated"
    assert ended_right(unconfirmed)


def test_pivot_that_keeps_failing_is_blocked_and_the_saga_turned_back(choreography, broken):
    saga_id = choreography.begin()
    with broken(inventario.operations.commit):
        choreography.settle_to_the_last_try()
    assert outcome(saga_id)["tracked"] == "compensated"
    assert ended_right(saga_id)


def test_only_a_parked_saga_can_be_skipped(saga, start):
    saga("declined", until=3)
    assert asked(operations.skip, "s").code == refusals.NOTHING_TO_RETRY


def test_saga_whose_pivot_is_open_can_only_be_retried():
    refused = operations.decide_skip(
        saga="checkout",
        status=operations.SagaStatus.PARKED,
        phase=SagaPhase.RUNNING,
        event_types={"checkout.initiated", "checkout.abort.requested"},
    )
    assert isinstance(refused, Refused)


def test_saga_that_is_parked_with_nothing_open_has_no_step_to_skip():
    refused = operations.decide_skip(
        saga="checkout",
        status=operations.SagaStatus.PARKED,
        phase=SagaPhase.RUNNING,
        event_types=set(projection.events("checkout")),
    )
    assert isinstance(refused, Refused)
    assert refused.code == refusals.NOTHING_TO_RETRY


def parked_step(cause: str, service: str):
    return event(
        "step.parked",
        failure=Failure("a step", "given_up", "why"),
        service=service,
        event=cause,
    )


@pytest.mark.parametrize(
    ("name", "until", "cause", "service", "expected"),
    [
        ("completed", 2, "inventory.reserved", "pagos", True),
        ("completed", 3, "inventory.reserved", "pagos", False),
        ("completed", 2, "order.created", "inventario", False),
        ("completed", 6, "inventory.reserved", "pagos", False),
        ("declined", 3, "payment.failed", "inventario", True),
        ("declined", 4, "payment.failed", "inventario", False),
        ("aborted", 5, "checkout.abort.requested", "inventario", True),
        ("aborted", 6, "checkout.abort.requested", "inventario", False),
        ("completed", 2, "inventory.reserved", "nobody", False),
    ],
)
def test_saga_waits_only_for_what_has_not_happened_since(name, until, cause, service, expected):
    seen = [event.type for event in story(name)[:until]]
    phases = {
        "completed": SagaPhase.RUNNING,
        "declined": SagaPhase.COMPENSATING,
        "aborted": SagaPhase.RUNNING,
    }
    phase = SagaPhase.COMPLETED if "checkout.completed" in seen else phases[name]
    assert waits(event=parked_step(cause, service), phase=phase, seen=seen) is expected


def test_abort_that_comes_too_late_does_not_hold_up_what_is_sold():
    seen = {*(event.type for event in story("completed")[:5]), "checkout.abort.requested"}
    given_up = parked_step("checkout.abort.requested", "inventario")
    assert not waits(event=given_up, phase=SagaPhase.RUNNING, seen=seen)


def test_giving_up_of_an_unknown_saga_changes_nothing(published):
    take_note(received=[parked_step("inventory.reserved", "pagos")], now=NOON)
    assert published() == []
    assert not Saga.objects.exists()


def test_giving_up_received_twice_aborts_once(saga, published):
    saga("completed", until=2)
    for _ in range(2):
        take_note(received=[parked_step("inventory.reserved", "pagos")], now=NOON)
    assert [event.type for event in published()] == ["checkout.abort.requested"]
    assert Saga.objects.get().status == "running"


def test_saga_first_seen_when_it_is_given_up_is_turned_back(published):
    """After an outage of this service a batch may hold both, the notice first."""
    report = parked_step("inventory.reserved", "pagos")
    ProjectionHandler(saga="checkout", on="step.parked").handle([report, *story("completed")[:2]])
    assert [event.type for event in published()] == ["checkout.abort.requested"]


def given_up(cause: str, service: str, step: str, why: str):
    report = parked_step(cause, service)
    failure = Failure(step, "given_up", why)
    return replace(report, data=replace(report.data, failure=failure))


TWO_REPORTS = [
    given_up("order.created", "inventario", "commit_inventory", "no disk"),
    given_up("checkout.abort.requested", "inventario", "commit_inventory's block", "no room"),
]


@pytest.mark.parametrize("reports", [TWO_REPORTS, TWO_REPORTS[::-1]], ids=["so", "reversed"])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_two_reports_of_one_saga_are_both_handled(saga, reports, at_once):
    saga("aborted", until=5)
    for batch in [reports] if at_once else [[report] for report in reports]:
        take_note(received=batch, now=NOON)
    row = Saga.objects.get()
    assert row.status == "parked"
    assert row.parked_step == reports[0].data.failure.step
    assert "no disk" in row.parked_reason
    assert "no room" in row.parked_reason


def test_report_that_aborts_and_the_next_are_both_handled_in_one_batch(saga, published):
    """They count as if they came one after the other: the abort is requested, then given up."""
    saga("completed", until=4)
    take_note(received=TWO_REPORTS, now=NOON)
    assert [event.type for event in published()] == ["checkout.abort.requested"]
    assert Intervention.objects.get().reason == "commit_inventory: no disk"
    assert Saga.objects.get().parked_reason == "no room"


def test_control_keyed_by_saga_alone_a_report_is_dropped(saga, monkeypatch):
    monkeypatch.setattr(reactions, "_in_turn", lambda received: [{e.saga_id: e for e in received}])
    saga("aborted", until=5)
    take_note(received=TWO_REPORTS, now=NOON)
    assert "no disk" not in Saga.objects.get().parked_reason


def test_stopped_saga_that_was_sold_and_is_given_up_is_returned_and_not_parked(saga, published):
    saga("aborted", until=5)
    with transaction.atomic(using=TRACKING):
        operations.compensate(saga_id="s", requested_by="eva", reason="", now=NOON)
        assert operations.compensate(saga_id="s", requested_by="eva", reason="", now=NOON) is None
    track(received=[story("completed")[4]], now=NOON)
    published()
    take_note(received=[parked_step("inventory.committed", "carrito")], now=NOON)
    assert [event.type for event in published()] == ["checkout.return.requested"]
    assert Saga.objects.get().status == "compensating"


def test_parked_saga_goes_on_with_the_next_event(saga):
    saga("declined", until=3)
    take_note(received=[parked_step("payment.failed", "inventario")], now=NOON)
    assert Saga.objects.get(pk="s").status == "parked"
    track(received=story("declined")[3:4], now=NOON)
    assert Saga.objects.get(pk="s").status == "compensating"


@pytest.mark.django_db(transaction=True, databases=SERVICES)  # /health uses a thread of its own
def test_health_names_the_parked_saga_and_the_message(client, settings, choreography, stuck):
    settings.SERVICE = "saga_choreography"
    health = client.get("/health").json()
    (oldest,) = health["parked_sagas"]["oldest"]
    assert (oldest["saga_id"], oldest["parked"]["step"]) == (stuck, "process_payment")
    assert "ValueError" in oldest["parked"]["reason"]
    settings.SERVICE = "pagos"
    messages = client.get("/health").json()["parked_messages"]
    assert messages["count"] == 1
    assert messages["oldest"][0]["event_type"] == "checkout.order.cancelled"


def test_skip_by_the_api_wants_a_reason(client, stuck):
    def skip(body):
        return client.post(
            f"/saga/choreography/{stuck}/skip", json.dumps(body), content_type="application/json"
        )

    assert skip({}).status_code == 400
    assert skip({"reason": "done by hand", "requested_by": "eva"}).status_code == 202
    assert Intervention.objects.get(saga=stuck, action="skip").reason == "done by hand"
    assert skip({"reason": "again"}).status_code == 409
