"""An order's history, from its coordinator's state."""

from datetime import UTC, datetime

import msgspec

from catalogue import SAGAS
from contracts.outcomes import Failure
from contracts.states import SagaState, SagaStatus, StepState, StepStatus, TrailEntry
from pedidos.history import CoordinatorState, events_in

SAGA = SAGAS["fulfilment"]


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, 12, minute, tzinfo=UTC)


def events_of(*, steps=(), trail=msgspec.UNSET) -> list[tuple[str, int]]:
    """The history from a state that was encoded and decoded, as over HTTP."""
    sent = SagaState(
        saga=SAGA.name,
        saga_id="s",
        saga_pattern="orchestrated",
        status=SagaStatus.RUNNING,
        current_step=None,
        subject="s",
        total_amount="1.00",
        started_at=at(0),
        finished_at=None,
        failure=Failure("process_payment", "card_declined"),
        steps=list(steps),
        events=trail,
    )
    state = msgspec.json.decode(msgspec.json.encode(sent), type=CoordinatorState)
    return [(entry.event, entry.at.minute) for entry in events_in(state=state, saga=SAGA)]


def step(name: str, status: StepStatus, started: int = 0, finished: int = 0) -> StepState:
    times = {"started_at": at(started), "finished_at": at(finished)} if finished else {}
    return StepState(step_name=name, status=status, **times)


def test_steps_of_an_orchestrated_order_have_the_names_of_its_definition():
    steps = [
        step("accept_order", StepStatus.COMPENSATED, 5, 6),
        step("reserve_inventory", StepStatus.COMPENSATED, 2, 4),
        step("process_payment", StepStatus.FAILED, 2, 3),
        step("schedule_delivery", StepStatus.SKIPPED),
    ]
    assert events_of(steps=steps) == [
        ("inventory.reserved", 2),
        ("inventory.released", 4),
        ("payment.failed", 3),
    ]


def test_step_of_another_version_of_the_definition_is_left_out():
    assert events_of(steps=[step("wrap_it_up", StepStatus.COMPLETED, 1, 1)]) == []


def test_trail_is_shown_with_the_times_of_its_events():
    entry = TrailEntry(
        type="order.placed",
        event_id="e",
        cause_id="",
        requested_at=None,
        occurred_at=at(7),
        seen_at=at(8),
    )
    steps = [step("accept_order", StepStatus.COMPLETED, 1, 1)]
    assert events_of(steps=steps, trail=[entry]) == [("order.placed", 7)]
