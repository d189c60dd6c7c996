"""The watchdog: a stalled saga is redriven, then aborted or parked; a moving saga is left alone."""

from collections import Counter
from datetime import timedelta

import msgspec
import pytest
from django.db import transaction
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from catalogue import SAGAS
from contracts import events, refusals
from contracts.saga import Context
from participant import tracing
from saga_choreography import operations, queries, store, watchdog
from saga_choreography.models import Intervention, Saga, SagaEvent
from saga_choreography.tracking import track
from saga_choreography.watchdog import MOST_REDRIVES, Remedy, look
from tests.definitions import with_sagas
from tests.threads import InThread
from tests.unit.choreography.made import NOON, context, event, story

DATABASE = "saga_choreography"
pytestmark = [pytest.mark.django_db(databases=[DATABASE]), pytest.mark.undocumented("messages")]


@pytest.fixture(autouse=True)
def _patience(settings):
    settings.REDRIVE_SECONDS = 10
    settings.SAGA_SECONDS = 120


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def look_until(seconds: float) -> Counter[Remedy]:
    """Looks every second from the start on."""
    remedies: Counter[Remedy] = Counter()
    for second in range(int(seconds) + 1):
        remedies += look(now=after(second))
    return remedies


def stored() -> Saga:
    return Saga.objects.get(pk="s")


def test_service_of_a_standing_sagas_last_event_is_asked_to_publish_it_again(saga, published):
    saga("completed", until=3)
    assert look(now=after(12)) == {Remedy.REDRIVE: 1}
    (again,) = published()
    assert (again.type, again.redrive) == ("step.redrive.requested", True)
    assert again.data.result == {"event": "payment.processed"}
    assert again.traceparent


def test_redrive_goes_on_in_the_sagas_trace(
    saga, published, monkeypatch, django_capture_on_commit_callbacks
):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    saga("completed", until=3)
    with django_capture_on_commit_callbacks(using=store.SERVICE, execute=True):
        look(now=after(12))
    (again,) = published()
    (sent,) = exporter.get_finished_spans()
    assert (sent.name, sent.attributes["dueto.redrive"]) == ("send step.redrive.requested", True)
    _, trace_id, parent, _ = context("s").traceparent.split("-")
    assert f"{sent.parent.span_id:016x}" == parent
    assert again.traceparent == f"00-{trace_id}-{sent.context.span_id:016x}-01"


def test_saga_whose_first_event_was_lost_to_all_is_known_from_its_owner_and_goes_on(published):
    """The saga is unknown here: its owner reports it after a while; the watchdog does the rest."""
    operations.get_to_know(contexts=[context("s"), context("s")])
    assert look(now=store.now()) == {}
    assert look(now=store.now() + timedelta(seconds=11)) == {Remedy.REDRIVE: 1}
    (again,) = published()
    assert again.data.result == {"event": "checkout.initiated"}


def test_known_saga_is_left_as_it_is_where_its_owner_reports_it(saga, published):
    saga("completed", until=3)
    before = (stored().started_at, SagaEvent.objects.count())
    operations.get_to_know(contexts=[context("s")])
    assert (stored().started_at, SagaEvent.objects.count()) == before
    assert not published()


def test_redrive_carries_the_context_that_the_services_work_from(saga, published):
    saga("completed", until=3)
    look(now=after(12))
    (again,) = published()
    assert events.decode(events.encode(again)).data.context == again.data.context
    assert msgspec.json.decode(again.data.context, type=Context) == context("s")


def test_redrive_carries_the_results_that_the_event_did(start, published):
    start("s")
    results = {"reserve_inventory": {"reservation_id": "7"}}
    track(received=[event("payment.processed", results=results, at=after(1))], now=after(1))
    look(now=after(12))
    (again,) = published()
    assert msgspec.json.decode(again.data.context, type=Context).results == results


def test_each_saga_has_the_time_that_its_definition_gives_it(start, published, settings):
    settings.SAGA_SECONDS = 0
    hasty = replace(SAGAS["checkout"], name="hasty", seconds=5.0)
    with with_sagas(hasty):
        start("s")
        track(received=[event("checkout.initiated", saga_id="h", saga="hasty")], now=NOON)
        assert look(now=after(10)) == {Remedy.REDRIVE: 1, Remedy.ABORT: 1}
        assert {(event.saga, event.type) for event in published()} == {
            ("checkout", "step.redrive.requested"),
            ("hasty", "checkout.abort.requested"),
        }


def test_saga_that_moved_lately_is_left_alone(saga, published):
    saga("completed", until=3)
    assert look(now=after(11)) == {Remedy.WAIT: 1}
    assert published() == []


def test_ended_saga_is_never_looked_at(saga):
    saga("completed", until=6)
    assert look_until(200) == Counter()


def test_redrives_grow_rarer(saga, published):
    saga("completed", until=1)
    assert look_until(59)[Remedy.REDRIVE] == 2
    assert len(published()) == 2


def test_deadline_asks_for_an_abort_once_and_then_redrives_it(saga, published):
    saga("completed", until=3)
    remedies = look_until(140)
    assert remedies[Remedy.ABORT] == 1
    requests = [event for event in published() if event.type == "checkout.abort.requested"]
    assert [request.redrive for request in requests] == [False, True]
    assert requests[0].data.failure.code == refusals.DEADLINE
    assert "create_order" in requests[0].data.failure.detail
    assert Intervention.objects.get().requested_by == "watchdog"
    assert stored().status == "running"


def test_unanswered_abort_is_redriven_beside_the_last_event(saga, published):
    saga("completed", until=4)
    look_until(120)
    published()
    look(now=after(131))
    assert {event.type for event in published()} == {
        "step.redrive.requested",
        "checkout.abort.requested",
    }


def test_saga_past_its_pivot_is_not_aborted(saga):
    saga("completed", until=5)
    assert look_until(400)[Remedy.ABORT] == 0


def test_saga_that_nothing_moves_is_parked_with_its_step_and_reason(saga):
    saga("declined", until=3)
    remedies = look_until(400)
    assert remedies[Remedy.REDRIVE] == MOST_REDRIVES
    assert remedies[Remedy.PARK] == 1
    assert (stored().status, stored().parked_step) == ("parked", "reserve_inventory")
    assert "payment.failed" in stored().parked_reason
    assert stored().watch_at is None


def test_parked_saga_is_shown_with_its_step_and_error(saga):
    saga("declined", until=3)
    look_until(400)
    state = queries.state(found=stored())
    assert (state.status, state.current_step) == ("parked", "reserve_inventory")
    assert state.steps[1].error == stored().parked_reason


def test_parked_saga_goes_on_by_itself_at_its_next_event(saga):
    saga("declined", until=3)
    look_until(400)
    track(received=[event("inventory.unreserved")], now=after(500))
    assert stored().status == "compensating"
    assert look(now=after(511)) == {Remedy.REDRIVE: 1}


def test_retry_of_a_parked_saga_redrives_it_at_once(saga, published):
    saga("declined", until=3)
    look_until(400)
    published()
    with transaction.atomic(using=DATABASE):
        refused = operations.retry(saga_id="s", requested_by="eva", reason="", now=after(500))
    assert refused is None
    assert [event.data.result for event in published()] == [{"event": "payment.failed"}]
    assert (stored().status, stored().redrives) == ("compensating", 0)
    recorded = Intervention.objects.get()
    assert (recorded.action, recorded.requested_by) == ("retry", "eva")


def test_retry_of_an_ended_saga_is_refused(saga):
    saga("completed", until=6)
    refused = operations.retry(saga_id="s", requested_by="eva", reason="", now=after(500))
    assert refused.code == refusals.NOTHING_TO_RETRY


def test_movement_starts_the_count_of_redrives_again(saga):
    saga("completed", until=2)
    look_until(40)
    track(received=[story("completed")[2]], now=after(41))
    look(now=after(62))
    assert stored().redrives == 1


def test_one_look_takes_a_bounded_number(start, monkeypatch):
    monkeypatch.setattr(watchdog, "MOST_AT_ONCE", 3)
    start(*"abcde")
    assert look(now=after(10)) == {Remedy.REDRIVE: 3}
    assert look(now=after(10)) == {Remedy.REDRIVE: 2}


@pytest.mark.django_db(databases=[DATABASE], transaction=True)
def test_two_watchdogs_never_redrive_a_saga_twice(start, published):
    start("a", "b", "c")
    published()
    with transaction.atomic(using=DATABASE):
        assert len(store.claim_still(now=after(10), limit=2)) == 2
        other = InThread(lambda: look(now=after(10)), service=DATABASE)
        assert other.result() == {Remedy.REDRIVE: 1}
    assert len(published()) == 1


def test_abort_is_shown_before_any_service_received_it(saga):
    saga("completed", until=3)
    look_until(120)
    assert SagaEvent.objects.filter(event_type="checkout.abort.requested").exists()
