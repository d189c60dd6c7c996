"""A slow service: each call has its time limit, and sagas at other services do not starve."""

import msgspec
import pytest
from django.db.models.functions import Now

from catalogue import SAGAS
from messaging import wakeups
from saga_orchestrator import in_flight, operations, store
from saga_orchestrator.models import Definition, Runner, Saga, SagaStep
from tests.integration.orchestrator.conftest import accepted
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])

MOST = 10


def steps_with(**seconds: float) -> msgspec.Struct:
    """The checkout, with other times for these steps."""
    steps = [
        msgspec.structs.replace(step, seconds=seconds.get(step.name, step.seconds))
        for step in SAGAS["checkout"].steps
    ]
    return msgspec.structs.replace(SAGAS["checkout"], steps=tuple(steps))


def start_short() -> str:
    """A saga whose next call is its reservation."""
    made = accepted()
    short = msgspec.structs.replace(SAGAS["checkout"], steps=SAGAS["checkout"].steps[:2])
    store.start(saga=short, contexts=[made], seconds=60)
    wakeups.notify(service=store.ALIAS, channel=store.CHANNEL)
    return made.saga_id


@pytest.fixture
def small_in_flight_set(monkeypatch):
    monkeypatch.setattr("saga_orchestrator.worker.MOST_IN_FLIGHT", MOST)


def all_charged_but_for_the_answer(run, start, services):
    """More sagas than a runner has room for wait for a service that does not answer."""
    gate = services.waits("process_payment")
    runner = run()
    waiting = start(2 * MOST)
    eventually(lambda: services.batches("process_payment"), what="the slow call is out")
    return gate, runner, waiting


def test_slow_service_does_not_fill_a_runners_in_flight_set(
    run, start, when, services, small_in_flight_set, monkeypatch
):
    monkeypatch.setattr(in_flight, "MOST_AT_A_CALL", 3)
    gate, runner, waiting = all_charged_but_for_the_answer(run, start, services)
    for _ in range(3):
        when(start_short(), "completed", seconds=5)
    assert runner.runner.counters()["sagas_in_flight"] < MOST
    gate.set()
    for saga_id in waiting:
        when(saga_id, "completed")


def test_saga_that_found_no_room_is_claimed_as_soon_as_there_is_some(
    run, start, when, services, monkeypatch
):
    monkeypatch.setattr("saga_orchestrator.worker.SWEEP_SECONDS", 60.0)
    monkeypatch.setattr(in_flight, "MOST_AT_A_CALL", 3)
    gate = services.waits("process_payment")
    run()
    waiting = start(2 * MOST)
    released = Saga.objects.filter(current_step="process_payment", runner_id=None)
    eventually(released.exists, what="there is no room")
    assert not released.filter(next_attempt_at__gt=Now()).exists()
    gate.set()
    for saga_id in waiting:
        when(saga_id, "completed")


def test_runner_with_a_full_in_flight_set_waits_until_a_place_is_free(
    run, start, services, small_in_flight_set
):
    _, runner, _ = all_charged_but_for_the_answer(run, start, services)
    eventually(
        lambda: runner.runner.counters()["sagas_in_flight"] == MOST, what="no more are taken"
    )
    runner.runner._on_release(0.0)
    eventually(lambda: runner.runner._patience() > 0, seconds=3, what="it has looked, and waits")


def test_control_without_the_bound_the_others_starve(
    run, start, when, services, small_in_flight_set
):
    gate, runner, _ = all_charged_but_for_the_answer(run, start, services)
    eventually(
        lambda: runner.runner.counters()["sagas_in_flight"] == MOST, what="no more are taken"
    )
    short = start_short()
    first = Runner.objects.get().seen_at
    eventually(lambda: (Runner.objects.get().seen_at - first).total_seconds() > 2, what="it swept")
    assert Saga.objects.get(pk=short).status == "pending"
    gate.set()
    when(short, "completed")


def test_call_has_the_time_of_its_step(run, start, when, services, monkeypatch):
    monkeypatch.setattr(operations, "SAGAS", {"checkout": steps_with(process_payment=0.2)})
    gate = services.waits("process_payment")
    run()
    (saga_id,) = start()
    faulted = eventually(
        lambda: SagaStep.objects.filter(saga=saga_id, name="process_payment").first(),
        seconds=3,
        what="the call has taken too long",
    )
    assert "timed out" in faulted.error
    gate.set()
    when(saga_id, "completed")


def test_control_with_the_usual_time_it_is_waited_for(run, start, when, services):
    gate = services.waits("process_payment")
    run()
    (saga_id,) = start()
    eventually(lambda: services.batches("process_payment"), what="the call is out")
    first = Runner.objects.get().seen_at
    eventually(lambda: Runner.objects.get().seen_at > first, what="a second has passed")
    assert not SagaStep.objects.filter(saga=saga_id, name="process_payment").exists()
    gate.set()
    when(saga_id, "completed")
    assert SagaStep.objects.get(saga=saga_id, name="process_payment").do_attempts == 1


def test_saga_that_was_started_before_steps_had_times_goes_on(run, start, when, monkeypatch):
    monkeypatch.setattr(operations, "SAGAS", {"checkout": steps_with(confirm_order=7.0)})
    (saga_id,) = start()
    definition = Saga.objects.get(pk=saga_id).definition
    old = [{k: v for k, v in step.items() if k != "seconds"} for step in definition.steps]
    Definition.objects.filter(pk=definition.pk).update(steps=old)
    run()
    when(saga_id, "completed")
