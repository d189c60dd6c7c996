"""A saga's state is a function of the set of events seen, whatever their order and number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events, sagas
from contracts.outcomes import Failure
from contracts.statuses import SagaStatus, StepStatus
from saga_choreography.entries import Stage
from saga_choreography.state import (
    EVENT_TYPES,
    STAGE_AFTER,
    STEPS,
    current_step,
    fold,
    last_facts,
    status_after,
)
from tests.unit.choreography.made import ABORTED, FORWARD, RETURNED, STORIES, event, seen, story


def told(name: str, until: int | None = None):
    return fold(trail=[seen(one) for one in story(name)[:until]])


def statuses(folded) -> dict[str, StepStatus]:
    return {one.step_name: one.status for one in folded.steps}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("completed", SagaStatus.COMPLETED),
        ("out of stock", SagaStatus.FAILED),
        ("declined", SagaStatus.COMPENSATED),
        ("aborted", SagaStatus.COMPENSATED),
        ("returned", SagaStatus.COMPENSATED),
    ],
)
def test_whole_story_ends_as_it_should(name, status):
    folded = told(name)
    assert folded.status is status
    assert folded.current_step is None
    assert folded.finished_at == story(name)[-1].occurred_at


@pytest.mark.parametrize("name", STORIES)
@given(data=st.data())
def test_order_and_duplicates_change_nothing(name, data):
    whole = [seen(one) for one in story(name)]
    shuffled = data.draw(st.permutations(whole))
    doubled = shuffled + data.draw(st.lists(st.sampled_from(whole)))
    assert fold(trail=doubled) == fold(trail=whole)


@given(order=st.permutations(RETURNED), data=st.data())
def test_stage_never_goes_back(order, data):
    trail = [seen(event(one)) for one in order]
    stages = [fold(trail=trail[: i + 1]).stage for i in range(len(trail))]
    assert stages == sorted(stages)


@given(types=st.sets(st.sampled_from(EVENT_TYPES), min_size=1))
def test_any_set_of_events_has_a_state(types):
    folded = fold(trail=[seen(event(one)) for one in types])
    assert [one.step_name for one in folded.steps] == STEPS
    assert (folded.current_step is None) == (folded.stage in (Stage.COMPLETED, Stage.ENDED))
    assert folded.status.is_final == (folded.current_step is None)


@given(types=st.sets(st.sampled_from(EVENT_TYPES)))
def test_a_saga_that_stands_always_has_a_fact_to_say_again(types):
    stage = fold(trail=[seen(event(one)) for one in types]).stage
    if stage in (Stage.COMPLETED, Stage.ENDED):
        return
    facts = last_facts(stage=stage, event_types=types | {events.CHECKOUT_INITIATED})
    assert facts
    assert set(facts) <= types | {events.CHECKOUT_INITIATED}


def test_running_saga_shows_the_step_that_is_being_done():
    folded = told("completed", until=3)
    assert folded.status is SagaStatus.RUNNING
    assert folded.current_step == sagas.CREATE_ORDER
    assert list(statuses(folded).values()) == [
        *[StepStatus.COMPLETED] * 3,
        StepStatus.RUNNING,
        *[StepStatus.PENDING] * 2,
    ]


def test_compensating_saga_shows_the_step_that_is_undone_next():
    folded = told("aborted", until=7)
    assert folded.status is SagaStatus.COMPENSATING
    assert folded.current_step == sagas.CHARGE
    assert folded.failure.code == "deadline_passed"
    assert statuses(folded) == {
        sagas.ACCEPT: StepStatus.COMPLETED,
        sagas.RESERVE: StepStatus.COMPLETED,
        sagas.CHARGE: StepStatus.COMPLETED,
        sagas.CREATE_ORDER: StepStatus.COMPENSATED,
        sagas.COMMIT: StepStatus.FAILED,
        sagas.CONFIRM_ORDER: StepStatus.SKIPPED,
    }


def test_refused_step_failed_and_the_earlier_ones_are_compensated():
    assert statuses(told("declined")) == {
        sagas.ACCEPT: StepStatus.COMPENSATED,
        sagas.RESERVE: StepStatus.COMPENSATED,
        sagas.CHARGE: StepStatus.FAILED,
        sagas.CREATE_ORDER: StepStatus.SKIPPED,
        sagas.COMMIT: StepStatus.SKIPPED,
        sagas.CONFIRM_ORDER: StepStatus.SKIPPED,
    }


def test_undo_of_what_never_happened_shows_a_skipped_step():
    trail = [
        event(events.CHECKOUT_INITIATED),
        event(events.INVENTORY_COMMIT_FAILED, failure=Failure("commit_inventory", "stopped")),
        event(events.ORDER_CANCELLED, nothing_to_undo=True),
        event(events.PAYMENT_REFUNDED, nothing_to_undo=True),
    ]
    found = statuses(fold(trail=[seen(one) for one in trail]))
    assert found[sagas.CREATE_ORDER] is StepStatus.SKIPPED
    assert found[sagas.CHARGE] is StepStatus.SKIPPED


def test_steps_have_the_times_and_the_result_of_their_own_events():
    reserved = event(events.INVENTORY_RESERVED, reservation_id="7")
    step = fold(trail=[seen(reserved)]).steps[1]
    assert step.started_at == reserved.data.requested_at
    assert step.finished_at == reserved.occurred_at
    assert step.response_data == {"reservation_id": "7"}


def test_event_lost_on_its_way_to_tracking_is_known_by_those_after_it():
    late = [seen(one) for one in story("completed") if one.type != events.PAYMENT_PROCESSED]
    assert statuses(fold(trail=late))[sagas.CHARGE] is StepStatus.COMPLETED


def test_last_event_decides_between_failed_and_compensated_as_carrito_recorded_it():
    failure = Failure("reserve_inventory", "aborted")
    last = seen(event(events.CHECKOUT_FAILED, failure=failure, status="compensated"))
    assert status_after(stage=Stage.ENDED, last=last) is SagaStatus.COMPENSATED


def test_abort_alone_turns_nothing_back():
    folded = fold(trail=[seen(one) for one in story("aborted")[:5]])
    assert folded.status is SagaStatus.RUNNING
    assert folded.failure is None


def test_abort_that_came_too_late_leaves_a_completed_saga_without_failure():
    late = event(events.CHECKOUT_ABORT_REQUESTED, failure=Failure("commit_inventory", "stopped"))
    folded = fold(trail=[*(seen(one) for one in story("completed")), seen(late)])
    assert folded.status is SagaStatus.COMPLETED
    assert folded.failure is None


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (FORWARD[:1], [events.CHECKOUT_INITIATED]),
        (FORWARD[:3], [events.PAYMENT_PROCESSED]),
        (ABORTED[:5], [events.ORDER_CREATED, events.CHECKOUT_ABORT_REQUESTED]),
        (ABORTED[:6], [events.INVENTORY_COMMIT_FAILED]),
        (ABORTED[:8], [events.PAYMENT_REFUNDED]),
        (RETURNED[:7], [events.CHECKOUT_RETURN_REQUESTED]),
        (RETURNED[:8], [events.INVENTORY_RESTORED]),
    ],
)
def test_fact_that_is_said_again_is_the_last_of_its_chain(types, expected):
    stage = max(STAGE_AFTER.get(one, Stage.RUNNING) for one in types)
    assert last_facts(stage=stage, event_types=types) == expected


def test_return_begins_with_the_pivot():
    assert current_step(stage=Stage.RETURNING, event_types=RETURNED[:7]) == sagas.COMMIT
