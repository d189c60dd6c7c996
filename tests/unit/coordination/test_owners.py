"""The answers about a saga that its coordinator does not have."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from contracts import refusals
from contracts.states import SagaStatus
from coordination.owners import AcceptedState, not_here

NOW = datetime.now(UTC)


def at_owner(*, pattern: str, status: SagaStatus, ended_ago: float) -> AcceptedState:
    return AcceptedState(
        saga="checkout",
        saga_id="s",
        saga_pattern=pattern,
        subject="c",
        status=status,
        total_amount="1.00",
        failure=None,
        accepted_at=NOW - timedelta(seconds=ended_ago + 1),
        ended_at=NOW - timedelta(seconds=ended_ago),
        answered_at=NOW,
    )


@pytest.mark.parametrize("status", [SagaStatus.COMPLETED, SagaStatus.COMPENSATED])
def test_saga_whose_events_are_still_on_their_way_has_not_ended(status):
    """It would run again as soon as its coordinator receives the first event."""
    state = at_owner(pattern="choreographed", status=status, ended_ago=1).state()
    assert (state.status, state.finished_at) == (SagaStatus.PENDING, None)
    assert not_here(state=state).code == refusals.NOT_STARTED


@pytest.mark.parametrize(("pattern", "ended_ago"), [("orchestrated", 1), ("choreographed", 120)])
def test_saga_that_its_coordinator_will_never_get_has_the_state_of_its_owner(pattern, ended_ago):
    saga = at_owner(pattern=pattern, status=SagaStatus.FAILED, ended_ago=ended_ago)
    state = saga.state()
    assert (state.status, state.finished_at) == (SagaStatus.FAILED, saga.ended_at)
    assert not_here(state=state).code == refusals.ALREADY_UNDONE


@pytest.mark.parametrize("status", [SagaStatus.RUNNING, SagaStatus.COMPENSATING])
def test_saga_that_has_arrived_since_is_requested_again(status):
    known = at_owner(pattern="choreographed", status=SagaStatus.FAILED, ended_ago=1).state()
    running = msgspec.structs.replace(known, status=status)
    assert not_here(state=running).code == refusals.NOT_STARTED
