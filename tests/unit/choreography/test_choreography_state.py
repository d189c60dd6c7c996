"""A saga's state is a function of the set of events seen, whatever their order and number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import SAGAS
from contracts import projection
from contracts.outcomes import Failure
from contracts.states import SagaStatus, StepStatus
from saga_choreography.store import SagaPhase
from saga_choreography.tracking import machine_of, status_after
from tests.unit.choreography.made import ABORTED, FORWARD, RETURNED, STORIES, event, seen, story

CHECKOUT = machine_of("checkout")
EVERY_SAGA = st.sampled_from(sorted(SAGAS)).flatmap(
    lambda saga: st.tuples(st.just(saga), st.sets(st.sampled_from(projection.events(saga))))
)
"""A saga, and some of its events."""


def view_of(name: str, until: int | None = None):
    return CHECKOUT.fold(trail=[seen(event) for event in story(name)[:until]])


def statuses(view) -> dict[str, StepStatus]:
    return {step.step_name: step.status for step in view.steps}


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
    view = view_of(name)
    assert view.status is status
    assert view.current_step is None
    assert view.finished_at == story(name)[-1].occurred_at


@pytest.mark.parametrize("name", STORIES)
@given(data=st.data())
def test_order_and_duplicates_change_nothing(name, data):
    trail = [seen(event) for event in story(name)]
    shuffled = data.draw(st.permutations(trail))
    doubled = shuffled + data.draw(st.lists(st.sampled_from(trail)))
    assert CHECKOUT.fold(trail=doubled) == CHECKOUT.fold(trail=trail)


@given(order=st.permutations(RETURNED), data=st.data())
def test_stage_never_goes_back(order, data):
    trail = [seen(event(name)) for name in order]
    phases = [CHECKOUT.fold(trail=trail[: i + 1]).phase for i in range(len(trail))]
    assert phases == sorted(phases)


@given(some=EVERY_SAGA)
def test_any_set_of_events_of_any_saga_has_a_state(some):
    saga, types = some
    view = machine_of(saga).fold(trail=[seen(event(name, saga=saga)) for name in types])
    assert [step.step_name for step in view.steps] == [step.name for step in SAGAS[saga].steps]
    assert (view.current_step is None) == (view.phase in (SagaPhase.COMPLETED, SagaPhase.ENDED))
    assert view.status.is_final == (view.current_step is None)


@given(some=EVERY_SAGA)
def test_stalled_saga_always_has_an_event_to_publish_again(some):
    saga, types = some
    machine = machine_of(saga)
    known = types | {machine.started}
    phase = machine.fold(trail=[seen(event(name, saga=saga)) for name in known]).phase
    if phase not in (SagaPhase.COMPLETED, SagaPhase.ENDED):
        last = machine.last_events(phase=phase, event_types=known)
        assert last
        assert set(last) <= known


def test_running_saga_shows_the_step_that_is_being_done():
    view = view_of("completed", until=3)
    assert view.status is SagaStatus.RUNNING
    assert view.current_step == "create_order"
    assert list(statuses(view).values()) == [
        *[StepStatus.COMPLETED] * 3,
        StepStatus.RUNNING,
        *[StepStatus.PENDING] * 2,
    ]


def test_compensating_saga_shows_the_step_that_is_undone_next():
    view = view_of("aborted", until=7)
    assert view.status is SagaStatus.COMPENSATING
    assert view.current_step == "process_payment"
    assert view.failure.code == "deadline_passed"
    assert statuses(view) == {
        "accept_checkout": StepStatus.COMPLETED,
        "reserve_inventory": StepStatus.COMPLETED,
        "process_payment": StepStatus.COMPLETED,
        "create_order": StepStatus.COMPENSATED,
        "commit_inventory": StepStatus.FAILED,
        "confirm_order": StepStatus.SKIPPED,
    }


def test_refused_step_failed_and_the_earlier_ones_are_compensated():
    assert statuses(view_of("declined")) == {
        "accept_checkout": StepStatus.COMPENSATED,
        "reserve_inventory": StepStatus.COMPENSATED,
        "process_payment": StepStatus.FAILED,
        "create_order": StepStatus.SKIPPED,
        "commit_inventory": StepStatus.SKIPPED,
        "confirm_order": StepStatus.SKIPPED,
    }


def test_undo_of_what_never_happened_shows_a_skipped_step():
    trail = [
        event("checkout.initiated"),
        event("inventory.commit.failed", failure=Failure("commit_inventory", "stopped")),
        event("order.cancelled", nothing_to_undo=True),
        event("payment.refunded", nothing_to_undo=True),
    ]
    steps = statuses(CHECKOUT.fold(trail=[seen(event) for event in trail]))
    assert steps["create_order"] is StepStatus.SKIPPED
    assert steps["process_payment"] is StepStatus.SKIPPED


def test_steps_have_the_times_and_the_result_of_their_own_events():
    reserved = event("inventory.reserved", reservation_id="7")
    step = CHECKOUT.fold(trail=[seen(reserved)]).steps[1]
    assert step.started_at == reserved.data.requested_at
    assert step.finished_at == reserved.occurred_at
    assert step.response_data == {"reservation_id": "7"}


def test_event_lost_on_its_way_to_tracking_is_known_by_those_after_it():
    late = [seen(event) for event in story("completed") if event.type != "payment.processed"]
    assert statuses(CHECKOUT.fold(trail=late))["process_payment"] is StepStatus.COMPLETED


def test_last_event_decides_between_failed_and_compensated_as_the_owner_recorded_it():
    failure = Failure("reserve_inventory", "aborted")
    last = seen(event("checkout.failed", failure=failure, status="compensated"))
    assert status_after(phase=SagaPhase.ENDED, last=last.data) is SagaStatus.COMPENSATED


def test_abort_alone_turns_nothing_back():
    view = CHECKOUT.fold(trail=[seen(event) for event in story("aborted")[:5]])
    assert view.status is SagaStatus.RUNNING
    assert view.failure is None


def test_abort_that_came_too_late_leaves_a_completed_saga_without_failure():
    late = event("checkout.abort.requested", failure=Failure("commit_inventory", "stopped"))
    view = CHECKOUT.fold(trail=[*(seen(event) for event in story("completed")), seen(late)])
    assert view.status is SagaStatus.COMPLETED
    assert view.failure is None


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (FORWARD[:1], ["checkout.initiated"]),
        (FORWARD[:3], ["payment.processed"]),
        (ABORTED[:5], ["order.created", "checkout.abort.requested"]),
        (ABORTED[:6], ["inventory.commit.failed"]),
        (ABORTED[:8], ["payment.refunded"]),
        (RETURNED[:7], ["checkout.return.requested"]),
        (RETURNED[:8], ["inventory.restored"]),
    ],
)
def test_event_that_is_published_again_is_the_last_of_its_chain(types, expected):
    phase = max(CHECKOUT.phase_after.get(name, SagaPhase.RUNNING) for name in types)
    assert CHECKOUT.last_events(phase=phase, event_types=types) == expected


def test_return_begins_with_the_pivot():
    assert (
        CHECKOUT.current_step(phase=SagaPhase.RETURNING, event_types=RETURNED[:7])
        == "commit_inventory"
    )
