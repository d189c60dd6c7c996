"""A saga whose step waits for a decision rests: no runner has it, and its deadline moves."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from contracts.outcomes import Done, Waiting
from contracts.states import StepStatus
from coordination import engine
from saga_orchestrator import operations, queries, store
from saga_orchestrator.in_flight import ClaimedSaga
from saga_orchestrator.models import Saga

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])


def sign_on() -> int:
    return store.renew(runner_id=None, host="here", pid=1)[0]


def claim(runner_id: int) -> list:
    return store.claim(runner_id=runner_id, limit=10)


def rest(saga: ClaimedSaga, *, seconds: float = 900) -> dict[str, float]:
    """Writes that the step that was called waits."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    answer = Waiting("customer", until=until)
    transition = engine.after(progress=saga.progress, answer=answer, draw=0.5)
    return store.record(transitions=[(saga, transition)])


def long_ago(saga_id: str, seconds: float) -> None:
    """Sets its times as if it had waited for so long already."""
    with connections["saga_orchestrator"].cursor() as cursor:
        cursor.execute(
            """
            UPDATE saga_orchestrator_saga
            SET waiting_since = waiting_since - make_interval(secs => %s),
                deadline_at = deadline_at - make_interval(secs => %s) WHERE saga_id = %s
            """,
            [seconds, seconds, saga_id],
        )


def test_saga_that_rests_belongs_to_no_runner_until_its_service_reports(start):
    (saga_id,) = start()
    runner_id = sign_on()
    (saga,) = claim(runner_id)
    rest(saga)
    assert claim(runner_id) == []
    assert Saga.objects.get().runner_id is None
    operations.decided(steps=[(saga_id, "reserve_inventory")])
    (again,) = claim(runner_id)
    assert again.progress == saga.progress


def test_decision_on_another_step_wakes_no_saga(start):
    (saga_id,) = start()
    runner_id = sign_on()
    rest(claim(runner_id)[0])
    operations.decided(steps=[(saga_id, "process_payment"), ("another", "reserve_inventory")])
    assert claim(runner_id) == []


def test_decision_reported_before_the_wait_is_written_is_not_forgotten(start):
    (saga_id,) = start()
    runner_id = sign_on()
    (saga,) = claim(runner_id)
    operations.decided(steps=[(saga_id, "reserve_inventory")])
    assert rest(saga) == {}
    assert [saga.saga_id for saga in claim(runner_id)] == [saga_id]


def test_decision_is_not_forgotten_where_the_saga_is_ahead_of_its_row(start):
    (saga_id,) = start()
    runner_id = sign_on()
    (saga,) = claim(runner_id)
    onward = engine.after(progress=saga.progress, answer=Done({}), draw=0.5)
    assert engine.can_be_written_later(before=saga.progress, transition=onward)
    saga.go_on(onward, now=saga.entered)
    operations.decided(steps=[(saga_id, saga.progress.step.name)])
    assert rest(saga) == {}
    assert [saga.saga_id for saga in claim(runner_id)] == [saga_id]


def test_time_spent_waiting_does_not_count_against_its_deadline(start):
    (saga_id,) = start()
    runner_id = sign_on()
    (saga,) = claim(runner_id)
    rest(saga)
    long_ago(saga_id, 500)
    operations.decided(steps=[(saga_id, "reserve_inventory")])
    (again,) = claim(runner_id)
    assert 100 < again.deadline < 121
    transition = engine.after(progress=again.progress, answer=Done({}), draw=0.5)
    store.record(transitions=[(again, transition)])
    left = Saga.objects.get().deadline_at - datetime.now(UTC)
    assert 100 < left.total_seconds() < 121


def test_saga_whose_service_reports_nothing_is_asked_again_once_it_is_overdue(start):
    start()
    runner_id = sign_on()
    rest(claim(runner_id)[0], seconds=-store.OVERDUE_SECONDS - 1)
    due = Saga.objects.get().next_attempt_at
    assert due - datetime.now(UTC) < timedelta(seconds=store.OVERDUE_SECONDS)


def test_stop_makes_a_saga_due_that_rests(start):
    (saga_id,) = start()
    runner_id = sign_on()
    rest(claim(runner_id)[0])
    operations.compensate(saga_id=saga_id, requested_by="eva")
    (stopped,) = claim(runner_id)
    assert stopped.stop_requested


def test_state_names_what_it_waits_for_and_where_that_is_decided(start):
    (saga_id,) = start()
    rest(claim(sign_on())[0])
    state = queries.state_of(saga_id)
    assert state.waiting.step == "reserve_inventory"
    assert state.waiting.decided_by == "customer"
    assert state.waiting.url.endswith(f"/decisions/{saga_id}/reserve_inventory")
    assert state.steps[1].status is StepStatus.WAITING
    assert [saga.saga_id for saga in queries.sagas(waiting=True)] == [saga_id]
    assert not queries.sagas(waiting=False)
