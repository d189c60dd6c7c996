"""Sagas run by a real runner on a real database, against services over real HTTP."""

import pytest

from catalogue import SAGAS
from contracts.states import StepStatus
from coordination import engine
from coordination.participants import MOST_LONE_FAULTS, endpoint_of
from messaging import wakeups
from saga_orchestrator import operations, queries, store
from saga_orchestrator.models import Intervention, Saga, SagaStep
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])

STEPS = [step.name for step in SAGAS["checkout"].steps]
FORWARD = [(name, "do") for name in STEPS[1:]]


def undone_from(name: str) -> list[tuple[str, str]]:
    """The effects of a saga that is refused at this step."""
    position = STEPS.index(name)
    done = FORWARD[: position - 1]
    return [*done, *((name, "undo") for name, _ in reversed(done)), ("accept_checkout", "undo")]


def statuses(saga_id: str) -> dict[str, str]:
    state = queries.state(found=queries.saga(saga_id=saga_id))
    return {step.step_name: step.status for step in state.steps}


def test_saga_completes_with_every_step_once(run, start, when, services):
    run()
    (saga_id,) = start()
    saga = when(saga_id, "completed")
    assert services.effects(saga_id) == FORWARD
    assert set(statuses(saga_id).values()) == {StepStatus.COMPLETED}
    assert (saga.current_step, saga.next_attempt_at, saga.runner_id) == ("", None, None)
    assert saga.finished_at >= saga.started_at


def test_commands_are_made_of_the_frozen_checkout(run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    bodies = dict(services.bodies)
    assert bodies["reserve_inventory", "do"]["items"] == [{"product_id": "1", "quantity": 2}]
    assert bodies["process_payment", "do"]["amount"] == "19.90"


def test_many_sagas_go_in_batches(run, start, when, services):
    gate = services.waits("reserve_inventory")
    run()
    first = start(1)
    eventually(lambda: services.asked, what="the first call is out")
    others = start(50)
    eventually(lambda: Saga.objects.filter(status="running").count() == 51, what="all are claimed")
    gate.set()
    for saga_id in [*first, *others]:
        when(saga_id, "completed")
        assert services.effects(saga_id) == FORWARD
    assert len(services.batches("reserve_inventory")) <= 4


@pytest.mark.parametrize("step", STEPS[1:-1])
def test_refused_step_undoes_those_before_it_in_reverse(run, start, when, services, step):
    services.refuses(step, code="no")
    run()
    (saga_id,) = start()
    saga = when(saga_id, "failed", "compensated")
    assert services.effects(saga_id) == undone_from(step)
    assert (saga.failure_step, saga.failure_code) == (step, "no")
    assert saga.status == ("failed" if step == "reserve_inventory" else "compensated")
    reached = STEPS.index(step)
    assert statuses(saga_id) == (
        dict.fromkeys(STEPS[:reached], "compensated")
        | {step: "failed"}
        | dict.fromkeys(STEPS[reached + 1 :], "skipped")
    )


def test_cart_is_unlocked_with_the_failure(run, start, when, services):
    services.refuses("process_payment", code="card_declined")
    run()
    (saga_id,) = start()
    when(saga_id, "compensated")
    body = dict(services.bodies)["accept_checkout", "undo"]
    assert body["failure"] == {
        "step": "process_payment",
        "code": "card_declined",
        "detail": "on demand",
        "undone": True,
    }


@pytest.mark.parametrize("status", [None, 500, 503])
@pytest.mark.parametrize("step", STEPS[1:])
def test_step_whose_answer_is_lost_is_asked_for_again_and_done_once(
    run, start, when, services, quick, step, status
):
    services.faults(step, times=2, after_effect=True, status=status)
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    assert services.times_asked(step, saga_id=saga_id) == 3
    assert services.effects(saga_id) == FORWARD
    assert SagaStep.objects.get(saga=saga_id, name=step).do_attempts == 3


@pytest.mark.parametrize("after_effect", [True, False], ids=["happened", "never happened"])
@pytest.mark.parametrize("step", STEPS[1:4])
def test_step_given_up_is_undone_with_those_before_it(
    run, start, when, services, quick, step, after_effect
):
    services.faults(step, after_effect=after_effect)
    run()
    (saga_id,) = start()
    saga = when(saga_id, "failed", "compensated")
    assert saga.failure_code == "given_up"
    assert services.times_asked(step, saga_id=saga_id) == engine.TRIES
    assert services.times_asked(step, "undo", saga_id=saga_id) == 1
    done = [effect for effect in services.effects(saga_id) if effect[1] == "do"]
    undone = [name for name, direction in services.effects(saga_id) if direction == "undo"]
    assert undone == [name for name, _ in reversed(done)] + ["accept_checkout"]


def test_pivot_given_up_that_never_happened_is_blocked_and_undone(
    run, start, when, services, quick
):
    services.faults("commit_inventory")
    run()
    (saga_id,) = start()
    when(saga_id, "compensated")
    assert services.effects(saga_id) == undone_from("commit_inventory")
    assert services.times_asked("commit_inventory", "block", saga_id=saga_id) == 1


def test_pivot_given_up_that_had_happened_goes_forward(run, start, when, services, quick):
    services.faults("commit_inventory", after_effect=True)
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    assert services.effects(saga_id) == FORWARD


def test_failing_undo_parks_and_an_operators_retry_completes_it(run, start, when, services, quick):
    services.refuses("create_order")
    services.faults("process_payment", "undo")
    run()
    (saga_id,) = start()
    saga = when(saga_id, "parked")
    assert saga.current_step == "process_payment"
    assert "500" in saga.parked_reason
    assert services.times_asked("process_payment", "undo", saga_id=saga_id) == engine.TRIES
    services.is_well_again()
    assert operations.retry(saga_id=saga_id, requested_by="eva") is None
    when(saga_id, "compensated")
    assert services.effects(saga_id) == undone_from("create_order")
    done = Intervention.objects.get(saga=saga_id)
    assert (done.action, done.step, done.requested_by) == ("retry", "process_payment", "eva")


def test_failing_last_step_parks_and_can_be_skipped_with_a_reason(
    run, start, when, services, quick
):
    services.faults("confirm_order")
    run()
    (saga_id,) = start()
    assert when(saga_id, "parked").current_step == "confirm_order"
    operations.skip(saga_id=saga_id, requested_by="eva", reason="confirmed by phone")
    when(saga_id, "completed")
    assert statuses(saga_id)["confirm_order"] == "skipped"
    assert Intervention.objects.get(saga=saga_id).reason == "confirmed by phone"


def test_parked_after_the_pivot_can_be_undone(run, start, when, services, quick):
    services.faults("confirm_order")
    run()
    (saga_id,) = start()
    when(saga_id, "parked")
    operations.compensate(saga_id=saga_id, requested_by="eva")
    when(saga_id, "compensated")
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


def test_poison_saga_in_a_batch_harms_only_itself(run, start, when, services, quick):
    gate = services.waits("reserve_inventory")
    run()
    start(1)
    eventually(lambda: services.asked, what="the first call is out")
    poison, *healthy = start(10)
    services.faults("reserve_inventory", saga_id=poison)
    eventually(lambda: Saga.objects.filter(status="running").count() == 11, what="all are claimed")
    gate.set()
    for saga_id in healthy:
        when(saga_id, "completed")
        assert SagaStep.objects.get(saga=saga_id, name="reserve_inventory").do_attempts == 1
    assert when(poison, "failed").failure_code == "given_up"


def test_slow_service_holds_up_only_sagas_that_need_it(run, start, when, services):
    gate = services.waits("create_order")
    services.refuses("process_payment")
    run()
    (refused,) = start()
    when(refused, "compensated")
    services._refusals.clear()
    (slow,) = start()
    eventually(lambda: services.times_asked("create_order", saga_id=slow), what="it waits")
    services.refuses("process_payment")
    (other,) = start()
    when(other, "compensated")
    gate.set()
    when(slow, "completed")


def test_service_that_is_down_costs_no_saga_its_tries(run, start, when, services, quick):
    services.is_down = True
    runner = run()
    saga_ids = start(20)
    eventually(lambda: services.probes >= 2, what="the breaker probes")
    assert runner.runner.counters()["breakers_open"] == 1
    calls = runner.runner.counters()["http_calls"]
    assert calls < 10
    services.is_down = False
    for saga_id in saga_ids:
        when(saga_id, "completed")
        assert services.effects(saga_id) == FORWARD


def test_saga_past_its_deadline_is_undone(run, start, when, services, settings):
    settings.SAGA_SECONDS = 0.001
    run()
    (saga_id,) = start()
    saga = when(saga_id, "failed", "compensated")
    assert saga.failure_code == "deadline_passed"
    assert services.effects(saga_id) == [("accept_checkout", "undo")]


def test_notification_wakes_the_runner_at_once(run, start, when, services, monkeypatch):
    monkeypatch.setattr("saga_orchestrator.worker.SWEEP_SECONDS", 60.0)
    runner = run()
    eventually(lambda: runner.runner._lease.runner_id, what="it has signed on")
    (saga_id,) = start()
    when(saga_id, "completed", seconds=5)


def test_control_without_the_notification_the_saga_waits(run, start, when, services, monkeypatch):
    monkeypatch.setattr("saga_orchestrator.worker.SWEEP_SECONDS", 60.0)
    runner = run()
    (first,) = start()
    when(first, "completed")
    eventually(lambda: not runner.runner._woken.is_set(), what="it is idle")
    monkeypatch.setattr(wakeups, "notify", lambda **kwargs: None)
    (saga_id,) = start()
    assert services.effects(saga_id) == []
    assert Saga.objects.get(pk=saga_id).status == "pending"


def test_service_that_fails_every_call_is_not_flooded(participants, start, services):
    start(20)
    runner_id, _ = store.renew(runner_id=None, host="here", pid=1)
    claimed = store.claim(runner_id=runner_id, limit=20)
    services.faults("reserve_inventory")
    endpoint = endpoint_of(progress=claimed[0].progress)
    answers = participants().ask(endpoint=endpoint, sagas=claimed)
    assert len(services.asked) == 1 + MOST_LONE_FAULTS
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == ["Fault"] * MOST_LONE_FAULTS + ["Postponed"] * (20 - MOST_LONE_FAULTS)
