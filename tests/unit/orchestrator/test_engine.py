"""The transition that follows from an answer."""

from datetime import UTC, datetime

import msgspec
import pytest

from catalogue import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Failure, Refused, Waiting
from contracts.saga import Direction, pivot_of
from contracts.states import SagaStatus, StepStatus
from coordination import engine
from coordination.engine import Fault, Postponed
from tests.unit.orchestrator.progresses import STEPS, after, at

FAILURE = Failure("commit_inventory", "no", "because")
LAST_TRY = {"faults": engine.TRIES - 1}


def test_done_step_is_recorded_and_the_next_is_due():
    transition = after(at("reserve_inventory"), Done({"reservation_id": "7"}))
    assert (transition.status, transition.progress) == (SagaStatus.RUNNING, at("process_payment"))
    assert (transition.record.status, transition.record.do) == (StepStatus.COMPLETED, 1)
    assert transition.record.result == Done({"reservation_id": "7"})
    assert transition.goes_on


def test_last_step_done_completes_the_saga():
    transition = after(at("confirm_order"), Done({}))
    assert transition.status is SagaStatus.COMPLETED
    assert not transition.goes_on


def test_refused_step_is_not_undone_but_those_before_it_are():
    transition = after(at("create_order"), Refused("no", "because"))
    failure = Failure("create_order", "no", "because")
    assert transition.progress == at("process_payment", Direction.UNDO, failure=failure)
    assert (transition.status, transition.record.status) == (
        SagaStatus.COMPENSATING,
        StepStatus.FAILED,
    )
    assert transition.record.error == "no: because"


def test_refusal_of_the_first_step_leaves_only_the_cart_to_unlock():
    transition = after(at("reserve_inventory"), Refused("out_of_stock"))
    assert (transition.progress.position, transition.progress.direction) == (0, Direction.UNDO)
    ended = after(transition.progress, Done({}))
    assert ended.status is SagaStatus.FAILED


def test_refused_pivot_is_undone_from_the_step_before_it():
    transition = after(at("commit_inventory"), Refused("reservation_expired"))
    assert transition.progress.step.name == "create_order"
    assert transition.progress.direction is Direction.UNDO


def test_last_undo_ends_a_saga_as_compensated_where_one_had_an_effect():
    transition = after(
        at("reserve_inventory", Direction.UNDO, failure=FAILURE), Done({"released": True})
    )
    assert transition.progress.failure == msgspec.structs.replace(FAILURE, undone=True)
    assert after(transition.progress, Done({})).status is SagaStatus.COMPENSATED


def test_last_undo_ends_a_saga_as_failed_where_none_had_an_effect():
    """Whatever step failed: in doubt, the reservation had not happened."""
    transition = after(at("reserve_inventory", Direction.UNDO, failure=FAILURE), NOTHING_TO_UNDO)
    assert transition.record.status is None
    assert after(transition.progress, Done({})).status is SagaStatus.FAILED


def test_fault_is_tried_again_later_and_counted():
    transition = after(at("process_payment"), Fault("timeout"))
    assert transition.progress == at("process_payment", faults=1)
    assert transition.seconds > 0
    assert not transition.goes_on
    assert (transition.record.status, transition.record.error) == (StepStatus.RUNNING, "timeout")


def test_delays_grow_and_the_last_are_a_second_apart_at_least():
    shortest = [engine.delay(faults=n, draw=0.0) for n in range(1, engine.TRIES)]
    assert shortest == sorted(shortest)
    assert shortest[-1] >= 1
    assert engine.delay(faults=50, draw=0.999) <= engine.LONGEST_DELAY


def test_postponed_saga_loses_no_try():
    transition = after(at("process_payment", faults=2), Postponed(1.5))
    assert (transition.progress.faults, transition.seconds, transition.record) == (2, 1.5, None)


def test_step_given_up_is_in_doubt_and_undone_itself():
    transition = after(at("process_payment", **LAST_TRY), Fault("timeout"))
    failure = Failure("process_payment", refusals.GIVEN_UP, "timeout")
    assert transition.progress == at("process_payment", Direction.UNDO, failure=failure)
    assert transition.record.status is StepStatus.FAILED


def test_pivot_given_up_is_blocked():
    transition = after(at("commit_inventory", **LAST_TRY), Fault("timeout"))
    assert (transition.progress.step.name, transition.progress.direction) == (
        "commit_inventory",
        Direction.BLOCK,
    )
    assert transition.progress.faults == 0


def test_blocked_pivot_turns_the_saga_back_for_the_first_reason():
    transition = after(
        at("commit_inventory", Direction.BLOCK, failure=FAILURE), Refused(refusals.ABORTED)
    )
    assert transition.progress == at("create_order", Direction.UNDO, failure=FAILURE)


def test_pivot_that_was_refused_all_along_turns_the_saga_back_for_that():
    blocking = at("commit_inventory", Direction.BLOCK, failure=FAILURE)
    transition = after(blocking, Refused(refusals.RESERVATION_EXPIRED))
    assert transition.progress.failure.code == refusals.RESERVATION_EXPIRED


def test_pivot_that_had_happened_sends_the_saga_forward():
    transition = after(at("commit_inventory", Direction.BLOCK, failure=FAILURE), Done({}))
    assert transition.progress == at("confirm_order")
    assert transition.record.status is StepStatus.COMPLETED


@pytest.mark.parametrize(
    "progress",
    [
        at("confirm_order", **LAST_TRY),
        at("process_payment", Direction.UNDO, **LAST_TRY),
        at("commit_inventory", Direction.BLOCK, **LAST_TRY),
    ],
    ids=["retriable", "undo", "block"],
)
def test_call_that_cannot_be_given_up_parks_the_saga_after_its_tries(progress):
    transition = after(progress, Fault("connection refused"))
    assert (transition.status, transition.reason) == (SagaStatus.PARKED, "connection refused")
    assert transition.progress.position == progress.position
    assert not transition.goes_on


@pytest.mark.parametrize(
    "progress", [at("confirm_order"), at("process_payment", Direction.UNDO)], ids=["do", "undo"]
)
def test_refusal_where_there_must_be_none_parks_at_once(progress):
    assert after(progress, Refused("no")).status is SagaStatus.PARKED


def test_interrupted_saga_undoes_the_step_it_was_at():
    transition = engine.interrupt(progress=at("process_payment"), code="stopped", detail="")
    assert (transition.progress.step.name, transition.progress.direction) == (
        "process_payment",
        Direction.UNDO,
    )
    assert transition.progress.failure == Failure("process_payment", "stopped", "")


def test_interrupted_pivot_is_blocked():
    transition = engine.interrupt(progress=at("commit_inventory"), code="stopped", detail="")
    assert (transition.progress.step.name, transition.progress.direction) == (
        "commit_inventory",
        Direction.BLOCK,
    )


@pytest.mark.parametrize(
    "progress",
    [
        at("confirm_order"),
        at("process_payment", Direction.UNDO, failure=FAILURE),
        at("commit_inventory", Direction.BLOCK, failure=FAILURE),
    ],
    ids=["past the pivot", "going back", "blocking"],
)
def test_saga_that_cannot_be_turned_back_is_not_interrupted(progress):
    assert engine.interrupt(progress=progress, code="stopped", detail="") is None


def test_return_undoes_the_pivot_too():
    transition = engine.give_back(progress=at("confirm_order"), code="stopped", detail="")
    assert (transition.progress.step.name, transition.progress.direction) == (
        "commit_inventory",
        Direction.UNDO,
    )


def test_retry_has_all_tries_again():
    parked = at("process_payment", Direction.UNDO, faults=engine.TRIES, failure=FAILURE)
    transition = engine.retry(progress=parked)
    assert (transition.progress.faults, transition.status) == (0, SagaStatus.COMPENSATING)


def test_skipped_undo_goes_on_with_the_one_before():
    parked = at("process_payment", Direction.UNDO, faults=engine.TRIES, failure=FAILURE)
    transition = engine.skip(progress=parked, reason="refunded by hand")
    undone = msgspec.structs.replace(FAILURE, undone=True)
    assert transition.progress == at("reserve_inventory", Direction.UNDO, failure=undone)
    assert "refunded by hand" in transition.record.error


def test_skipped_last_step_completes():
    transition = engine.skip(progress=at("confirm_order", faults=engine.TRIES), reason="by hand")
    assert (transition.status, transition.record.status) == (
        SagaStatus.COMPLETED,
        StepStatus.SKIPPED,
    )


def test_open_pivot_cannot_be_skipped():
    assert engine.skip(progress=at("commit_inventory", Direction.BLOCK), reason="?") is None


def test_saga_without_a_pivot_can_be_turned_back_anywhere():
    assert pivot_of(STEPS[:3]) == 3


UNTIL = datetime(2026, 1, 2, tzinfo=UTC)


def test_waiting_step_suspends_the_saga_and_costs_it_no_try():
    transition = after(at("process_payment", faults=3), Waiting("card_network", until=UNTIL))
    assert transition.progress == at("process_payment")
    assert (transition.status, transition.waits.until) == (SagaStatus.RUNNING, UNTIL)
    assert (transition.record.status, transition.record.do) == (StepStatus.WAITING, 0)
    assert transition.is_on_its_way
    assert not transition.goes_on


@pytest.mark.parametrize("direction", [Direction.UNDO, Direction.BLOCK])
def test_undo_or_block_that_would_wait_is_parked(direction):
    progress = at("commit_inventory", direction, failure=FAILURE)
    transition = after(progress, Waiting("customer", until=UNTIL))
    assert transition.status is SagaStatus.PARKED
    assert "must not wait for customer" in transition.reason
