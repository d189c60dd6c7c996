"""An operator stops, returns, retries and skips."""

import pytest

from contracts import refusals
from coordination import engine
from saga_orchestrator import operations
from saga_orchestrator.models import Intervention, Saga
from saga_orchestrator.operations import UnknownSaga
from tests.unit.orchestrator.progresses import STEPS
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])


def test_running_saga_is_stopped_before_its_pivot_and_undone(run, start, when, services):
    gate = services.waits("process_payment")
    run()
    (saga_id,) = start()
    eventually(lambda: services.batches("process_payment"), what="it is being charged")
    assert operations.compensate(saga_id=saga_id, requested_by="eva", reason="wrong size") is None
    gate.set()
    saga = when(saga_id, "compensated")
    assert saga.failure_code == refusals.STOPPED
    assert ("commit_inventory", "do") not in services.effects(saga_id)
    undone = [name for name, direction in services.effects(saga_id) if direction == "undo"]
    # The order, too: the row can't show that it was not made.
    assert undone == ["create_order", "process_payment", "reserve_inventory", "accept_checkout"]
    done = Intervention.objects.get(saga=saga_id)
    assert (done.action, done.requested_by, done.reason) == ("stop", "eva", "wrong size")


def test_saga_that_waits_for_its_next_try_is_stopped_at_once(
    run, start, when, services, monkeypatch
):
    monkeypatch.setattr("coordination.engine.FIRST_DELAY", 60.0)
    monkeypatch.setattr("coordination.engine.LONGEST_DELAY", 60.0)
    services.faults("process_payment")
    run()
    (saga_id,) = start()
    eventually(lambda: Saga.objects.get(pk=saga_id).faults, what="it waits")
    services.is_well_again()
    operations.compensate(saga_id=saga_id, requested_by="eva")
    when(saga_id, "compensated", seconds=5)


def test_stop_that_comes_after_the_pivot_becomes_the_return(run, start, when, services):
    """A saga whose undo was promised is undone."""
    gate = services.waits("commit_inventory")
    run()
    (saga_id,) = start()
    eventually(lambda: services.batches("commit_inventory"), what="the commit is out")
    assert operations.compensate(saga_id=saga_id, requested_by="eva") is None
    gate.set()
    saga = when(saga_id, "compensated")
    assert (saga.failure_code, saga.failure_step) == (refusals.STOPPED, "confirm_order")
    assert services.effects(saga_id) == [
        *((step.name, "do") for step in STEPS[1:]),
        *((step.name, "undo") for step in reversed(STEPS[:-1])),
    ]


def test_control_with_the_late_stop_forgotten_it_completes(run, start, when, services, monkeypatch):
    monkeypatch.setattr(
        "saga_orchestrator.executor.after",
        lambda *, saga, answer: engine.after(progress=saga.progress, answer=answer, draw=0),
    )
    gate = services.waits("commit_inventory")
    run()
    (saga_id,) = start()
    eventually(lambda: services.batches("commit_inventory"), what="the commit is out")
    assert operations.compensate(saga_id=saga_id, requested_by="eva") is None
    gate.set()
    when(saga_id, "completed")


def test_completed_saga_is_returned_in_reverse(run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    assert operations.compensate(saga_id=saga_id, requested_by="eva") is None
    saga = when(saga_id, "compensated")
    assert saga.failure_code == refusals.STOPPED
    assert services.effects(saga_id)[-5:] == [
        (name, "undo")
        for name in (
            "commit_inventory",
            "create_order",
            "process_payment",
            "reserve_inventory",
            "accept_checkout",
        )
    ]


@pytest.mark.parametrize("step", ["reserve_inventory", "process_payment"])
def test_saga_that_is_undone_can_not_be_undone_again(run, start, when, services, step):
    services.refuses(step)
    run()
    (saga_id,) = start()
    when(saga_id, "failed", "compensated")
    refused = operations.compensate(saga_id=saga_id, requested_by="eva")
    assert refused.code == refusals.ALREADY_UNDONE
    assert not Intervention.objects.exists()


def test_saga_past_its_pivot_can_not_be_stopped(run, start, services, quick):
    services.faults("confirm_order")
    run()
    (saga_id,) = start()
    eventually(lambda: Saga.objects.get(pk=saga_id).faults, what="it is past its pivot")
    assert operations.compensate(saga_id=saga_id, requested_by="eva").code == refusals.PAST_PIVOT


def test_stop_before_the_passed_pivot_is_written_is_a_return(run, start, when, services):
    gate = services.waits("confirm_order")
    run()
    (saga_id,) = start()
    eventually(lambda: services.batches("confirm_order"), what="it is past its pivot")
    assert operations.compensate(saga_id=saga_id, requested_by="eva") is None
    gate.set()
    when(saga_id, "compensated")
    done = {name for name, direction in services.effects(saga_id) if direction == "do"}
    undone = {name for name, direction in services.effects(saga_id) if direction == "undo"}
    assert {"commit_inventory", "confirm_order"} <= done
    assert done - undone == {"confirm_order"}, "which has no undo"


@pytest.mark.parametrize("act", [operations.retry, operations.skip])
def test_only_a_parked_saga_can_be_retried_or_skipped(start, act):
    (saga_id,) = start()
    refused = act(saga_id=saga_id, requested_by="eva", reason="why not")
    assert refused.code == refusals.NOTHING_TO_RETRY


def test_saga_whose_pivot_is_open_can_only_be_retried(run, start, when, services, quick):
    services.faults("commit_inventory", after_effect=True)
    services.faults("commit_inventory", "block")
    run()
    (saga_id,) = start()
    when(saga_id, "parked")
    arguments = {"saga_id": saga_id, "requested_by": "eva", "reason": "let it be"}
    assert operations.skip(**arguments).code == refusals.NOTHING_TO_RETRY
    assert operations.compensate(**arguments).code == refusals.PAST_PIVOT
    services.is_well_again()
    assert operations.retry(**arguments) is None
    when(saga_id, "completed")


def test_skipped_undo_goes_on_with_the_others(run, start, when, services, quick):
    services.refuses("create_order")
    services.faults("process_payment", "undo")
    run()
    (saga_id,) = start()
    when(saga_id, "parked")
    operations.skip(saga_id=saga_id, requested_by="eva", reason="refunded by hand")
    when(saga_id, "compensated")
    undone = [name for name, direction in services.effects(saga_id) if direction == "undo"]
    assert undone == ["reserve_inventory", "accept_checkout"]


def test_unknown_saga_is_refused_as_unknown():
    with pytest.raises(UnknownSaga):
        operations.compensate(saga_id="nobody", requested_by="eva")
