"""Runners die, stop or are paused: their sagas go on elsewhere, and nothing is written twice."""

import threading
from functools import partial

import msgspec
import pytest
from django.db import OperationalError, connections

from catalogue import SAGAS
from contracts.outcomes import Done
from contracts.states import SagaStatus
from coordination import engine
from coordination.participants import Participants
from saga_orchestrator import executor, operations, store
from saga_orchestrator.in_flight import ClaimedSaga
from saga_orchestrator.models import Runner, Saga, SagaStep
from tests.integration.orchestrator.conftest import accepted
from tests.threads import at_once
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])

SERVICE = "saga_orchestrator"
FORWARD = [(step.name, "do") for step in SAGAS["checkout"].steps[1:]]


def sign_on() -> int:
    runner_id, _ = store.renew(runner_id=None, host="here", pid=1)
    return runner_id


def fall_silent(runner_id: int) -> None:
    with connections["saga_orchestrator"].cursor() as cursor:
        cursor.execute(
            "UPDATE saga_orchestrator_runner SET seen_at = now() - interval '4 s' WHERE id = %s",
            [runner_id],
        )


def move_on(saga: ClaimedSaga) -> dict[str, float]:
    """Writes that the call that was due is done."""
    transition = engine.after(progress=saga.progress, answer=Done({}), draw=0.5)
    return store.record(transitions=[(saga, transition)])


def test_saga_of_a_living_runner_is_not_taken_over(start):
    start()
    assert len(store.claim(runner_id=sign_on(), limit=10)) == 1
    assert store.claim(runner_id=sign_on(), limit=10) == []


def test_saga_of_a_silent_runner_is_taken_over(start):
    (saga_id,) = start()
    silent = sign_on()
    store.claim(runner_id=silent, limit=10)
    fall_silent(silent)
    (taken,) = store.claim(runner_id=sign_on(), limit=10)
    assert taken.saga_id == saga_id


def test_saga_of_a_runner_whose_row_is_gone_is_taken_over(start):
    start()
    gone = sign_on()
    store.claim(runner_id=gone, limit=10)
    Runner.objects.filter(pk=gone).delete()
    assert len(store.claim(runner_id=sign_on(), limit=10)) == 1


def test_runner_that_wakes_up_can_not_write_what_it_held(start):
    (saga_id,) = start()
    asleep = sign_on()
    (held,) = store.claim(runner_id=asleep, limit=10)
    fall_silent(asleep)
    (taken,) = store.claim(runner_id=sign_on(), limit=10)
    assert set(move_on(taken)) == {saga_id}
    assert move_on(held) == {}
    assert SagaStep.objects.filter(saga=saga_id).count() == 1
    assert Saga.objects.get(pk=saga_id).current_step == "process_payment"


def test_control_without_the_fence_the_step_is_written_twice(start, monkeypatch):
    (saga_id,) = start()
    asleep = sign_on()
    (held,) = store.claim(runner_id=asleep, limit=10)
    fall_silent(asleep)
    (taken,) = store.claim(runner_id=sign_on(), limit=10)
    move_on(taken)
    monkeypatch.setattr(
        store, "RECORD", store.RECORD.replace("AND saga.version = made.version", "")
    )
    assert set(move_on(held)) == {saga_id}
    assert SagaStep.objects.get(saga=saga_id).do_attempts == 2


def test_saga_is_claimed_by_one_of_many_runners_at_once(start):
    runners, known = [sign_on() for _ in range(4)], []
    for _ in range(5):
        saga_ids = start(40)
        claims = [
            partial(store.claim, runner_id=runner, limit=40, in_flight=known) for runner in runners
        ]
        claimed = [saga.saga_id for sagas in at_once(claims, service=SERVICE) for saga in sagas]
        assert sorted(claimed) == sorted(saga_ids)
        known += claimed


def test_saga_left_in_the_middle_goes_on_from_there(run, start, when, services):
    (saga_id,) = start()
    dead = sign_on()
    (held,) = store.claim(runner_id=dead, limit=1)
    move_on(held)
    fall_silent(dead)
    run()
    when(saga_id, "completed")
    assert services.effects(saga_id) == FORWARD[1:]


def test_silent_runner_is_replaced_within_five_seconds(run, start, when, services):
    (saga_id,) = start()
    store.claim(runner_id=sign_on(), limit=1)
    run()
    when(saga_id, "completed", seconds=5)


def test_stopping_runner_releases_its_sagas(run, start, when, services):
    gate = services.waits("process_payment")
    first = run()
    saga_ids = start(5)
    eventually(lambda: services.batches("process_payment"), what="a call is out")
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    gate.set()
    stopping.join()
    assert Runner.objects.count() == 0
    run()
    for saga_id in saga_ids:
        when(saga_id, "completed")
        assert services.effects(saga_id) == FORWARD


def test_two_runners_share_the_work_and_do_nothing_twice(run, start, when, services):
    run()
    run()
    saga_ids = [saga_id for _ in range(10) for saga_id in start(5)]
    for saga_id in saga_ids:
        when(saga_id, "completed")
        assert services.effects(saga_id) == FORWARD


def test_cut_database_connections_lose_no_saga(run, start, when, services):
    gate = services.waits("process_payment")
    run()
    saga_ids = start(5)
    eventually(lambda: services.batches("process_payment"), what="a call is out")
    with connections["saga_orchestrator"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    gate.set()
    for saga_id in saga_ids:
        when(saga_id, "completed")
        assert services.effects(saga_id) == FORWARD


DEEP = "(repeat('[', 3000) || repeat(']', 3000))::jsonb"
TYPED_OVER = {
    "context = '{}'": "missing required field",
    "context = '7'": "Expected `object`",
    f"context = context || jsonb_build_object('x', {DEEP})": "RecursionError",
    """context = context || '{"saga_id": "another"}'""": "checkout another",
    "direction = 'weird'": "weird",
    "direction = 'undo', position = 5": "confirm_order has no undo",
    "position = 99": "step 99 of 6",
}


def type_over(saga_id, assignments):
    with connections["saga_orchestrator"].cursor() as cursor:
        cursor.execute(
            f"UPDATE saga_orchestrator_saga SET {assignments} WHERE saga_id = %s", [saga_id]
        )


@pytest.mark.parametrize(("assignments", "reason"), TYPED_OVER.items())
def test_saga_that_cannot_be_read_is_parked_and_stops_no_other(
    run, start, when, services, assignments, reason
):
    broken, healthy = start(2)
    type_over(broken, assignments)
    run()
    assert reason in when(broken, "parked").parked_reason
    when(healthy, "completed")
    assert services.effects(broken) == []


@pytest.mark.parametrize("assignments", TYPED_OVER)
def test_saga_that_cannot_be_read_is_undone_as_a_whole(run, start, when, services, assignments):
    """No repair is needed: the barriers know which steps have happened."""
    (broken,) = start()
    type_over(broken, assignments)
    run()
    when(broken, "parked")
    assert operations.compensate(saga_id=broken, requested_by="eva", reason="typed over") is None
    assert when(broken, "failed", "compensated").failure_detail == "typed over"
    undone = [name for name, direction in services.effects(broken) if direction == "undo"]
    assert undone[-1] == "accept_checkout"


def test_version_at_the_end_of_its_column_stops_no_other_saga(run, start, when):
    odd, healthy = start(2)
    type_over(odd, "version = 2147483647")
    run()
    when(odd, "completed")
    when(healthy, "completed")


def test_saga_in_flight_keeps_the_steps_it_started_with(run, start, when, services, monkeypatch):
    (saga_id,) = start()
    shorter = msgspec.structs.replace(SAGAS["checkout"], steps=SAGAS["checkout"].steps[:3])
    monkeypatch.setattr(operations, "SAGAS", {"checkout": shorter})
    (short_id,) = start()
    run()
    when(saga_id, SagaStatus.COMPLETED)
    when(short_id, SagaStatus.COMPLETED)
    assert services.effects(saga_id) == FORWARD
    assert services.effects(short_id) == FORWARD[:2]


def claim_whose_answer_is_lost(monkeypatch):
    """The first claim is written, but its answer is lost."""
    real, lost = store.claim, []

    def claim(**arguments):
        claimed = real(**arguments)
        if claimed and not lost:
            lost.append(claimed)
            raise OperationalError("the connection broke")
        return claimed

    monkeypatch.setattr(store, "claim", claim)
    return lost


def test_saga_whose_claim_got_no_answer_is_claimed_again(run, start, when, monkeypatch):
    claim_whose_answer_is_lost(monkeypatch)
    run()
    (saga_id,) = start()
    when(saga_id, "completed")


def own_sagas_left(monkeypatch) -> None:
    """The control: a runner trusts the rows for what it has in flight."""
    left = store.CLAIM.replace("THEN saga_id NOT IN", "THEN false AND saga_id NOT IN")
    assert left != store.CLAIM
    monkeypatch.setattr(store, "CLAIM", left)


def test_control_with_own_sagas_left_out_it_stays_where_it_is(run, start, when, monkeypatch):
    lost = claim_whose_answer_is_lost(monkeypatch)
    own_sagas_left(monkeypatch)
    run()
    (saga_id,) = start()
    eventually(lambda: lost, what="the claim is lost")
    for _ in range(3):
        (other,) = start()
        when(other, "completed")
    assert Saga.objects.get(pk=saga_id).status == "running"


@pytest.mark.parametrize("pattern", ["orchestrated", "orchestrated_messaging"])
def test_misspelt_need_parks_the_saga_and_stops_no_other(run, start, when, monkeypatch, pattern):
    checkout = SAGAS["checkout"]
    steps = [
        msgspec.structs.replace(step, needs={"amount": "totl_amount"})
        if step.name == "reserve_inventory"
        else step
        for step in checkout.steps
    ]
    misspelt = msgspec.structs.replace(steps[1], operation="pagos.charge")
    wrong = msgspec.structs.replace(checkout, steps=(steps[0], misspelt, *steps[2:]))
    monkeypatch.setattr(executor, "REST_SECONDS", 0.05)
    monkeypatch.setattr(operations, "SAGAS", {"checkout": wrong})
    context = accepted(pattern=pattern)
    operations.start(contexts=[context])
    monkeypatch.setattr(operations, "SAGAS", SAGAS)
    (healthy,) = start()
    run()
    row = when(context.saga_id, "parked")
    assert "amount" in row.parked_reason
    when(healthy, "completed")


def test_bug_in_a_bulkhead_costs_a_moment_and_no_saga(run, start, when, services, monkeypatch):
    real, raised = Participants._tell, []

    def tell(self, endpoint, sagas):
        if not raised:
            raised.append(endpoint)
            raise ZeroDivisionError("a bug")
        return real(self, endpoint, sagas)

    monkeypatch.setattr(Participants, "_tell", tell)
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    assert services.effects(saga_id) == FORWARD
