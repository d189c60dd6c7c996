"""Accept, approve, reserve and fail: their effects on the booking's row."""

from datetime import timedelta

import pytest

from catalogue import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Refused, Waiting
from coordination import decisions
from httpapi.problems import Problem
from participant import sql
from participant.decisions import GivenVerdict
from participant.executing import execute
from reservas import operations
from reservas.models import Booking, Decision, Slot
from tests.integration.reservas.conftest import HOUR, TEN

pytestmark = pytest.mark.django_db(databases=["reservas"])

APPROVE = "approve_booking"


def given(saga_id: str, word: str, reason: str = "") -> GivenVerdict:
    return GivenVerdict(saga_id=saga_id, step=APPROVE, word=word, by="eva", reason=reason)


def give(saga_id: str, word: str, reason: str = ""):
    return decisions.give(service="reservas", given=given(saga_id, word, reason))[1]


def test_price_is_frozen_from_the_acceptance_on(desk):
    saga_id = desk.booked(ends_at=TEN + timedelta(minutes=90))
    Slot.objects.update(price_per_hour="99.00")
    assert str(desk.price(saga_id)) == "60.00"
    context = Booking.objects.get().context
    assert (context["user_id"], context["data"]) == ("ana", {"total_amount": "60.00"})


@pytest.mark.parametrize(
    ("starts", "ends", "is_free"),
    [
        *[(0, 60, False), (30, 90, False), (-30, 30, False), (10, 20, False), (-60, 120, False)],
        *[(60, 120, True), (-60, 0, True)],
    ],
)
def test_slot_is_taken_for_every_time_that_overlaps(desk, starts, ends, is_free):
    desk.booked(starts_at=TEN)
    times = {"starts_at": TEN + timedelta(minutes=starts), "ends_at": TEN + timedelta(minutes=ends)}
    outcome = desk.accept(desk.wanted(**times))
    assert isinstance(outcome, Done) == is_free
    assert is_free or outcome.code == refusals.SLOT_TAKEN


def test_another_slot_is_free_at_the_same_time(desk):
    other = Slot.objects.create(name="Patio", price_per_hour="15.00")
    desk.booked(starts_at=TEN)
    assert isinstance(desk.accept(desk.wanted(starts_at=TEN, slot_id=other.pk)), Done)


def test_without_the_constraint_a_slot_is_taken_twice(desk):
    """The control."""
    constraint = "booking_slot_once_at_a_time"
    sql.execute(
        service="reservas", sql=f"ALTER TABLE reservas_booking DROP CONSTRAINT {constraint}"
    )
    desk.booked(starts_at=TEN)
    assert isinstance(desk.accept(desk.wanted(starts_at=TEN)), Done)


def test_first_of_a_list_gets_the_slot_and_the_others_are_refused(desk):
    commands = [desk.wanted(starts_at=TEN, saga_id=f"s{n}") for n in range(3)]
    unknown = desk.wanted(slot_id=desk.slot.pk + 1)
    done = execute(operation=operations.accept, commands=[*commands, unknown])
    codes = [getattr(executed.outcome, "code", "done") for executed in done]
    assert codes == ["done", *[refusals.SLOT_TAKEN] * 2, refusals.UNKNOWN_SLOT]


def test_manager_is_asked_and_a_yes_approves(desk):
    saga_id = desk.booked()
    outcome = desk.step(operations.approve, APPROVE, saga_id)
    assert isinstance(outcome, Waiting)
    assert outcome.decided_by == "manager"
    decision = Decision.objects.get()
    assert decision.until - decision.opened_at > 23.9 * HOUR
    assert desk.status(saga_id) == ("pending", "running")
    assert give(saga_id, "yes").data["approved_by"] == "eva"
    assert desk.status(saga_id) == ("approved", "running")
    assert isinstance(give(saga_id, "yes"), Done), "the same again"
    with pytest.raises(Problem, match="decided by eva: yes") as problem:
        give(saga_id, "no")
    assert problem.value.code == refusals.ALREADY_DECIDED


def test_managers_no_is_a_refusal_with_its_reason(desk):
    saga_id = desk.asked()
    assert give(saga_id, "no", "closed that day") == Refused(
        refusals.REJECTED_BY_MANAGER, "closed that day"
    )
    assert desk.status(saga_id) == ("pending", "running")


def test_decision_after_the_time_is_over_is_refused(desk):
    saga_id = desk.asked()
    Decision.objects.update(until=TEN - 365 * 24 * HOUR)
    with pytest.raises(Problem) as problem:
        give(saga_id, "yes")
    assert problem.value.code == refusals.DECISION_CLOSED
    known = desk.step(operations.approve, APPROVE, saga_id)
    assert known.code == refusals.APPROVAL_OVERDUE


def test_booking_that_costs_little_is_approved_without_a_manager(desk, settings):
    settings.AUTO_APPROVE_BELOW = 100
    saga_id = desk.booked()
    outcome = desk.step(operations.approve, APPROVE, saga_id)
    assert outcome.data["approved_by"] == "auto_approve"
    assert desk.status(saga_id)[0] == "approved"
    assert not Decision.objects.exists()


def test_booking_that_was_made_so_is_approved_without_a_manager(desk):
    saga_id = desk.booked(auto_approve=True)
    assert isinstance(desk.step(operations.approve, APPROVE, saga_id), Done)


def test_undo_withdraws_the_question_and_changes_nothing(desk):
    saga_id = desk.asked()
    assert desk.undo(operations.withdraw, APPROVE, saga_id) == NOTHING_TO_UNDO
    with pytest.raises(Problem) as problem:
        give(saga_id, "yes")
    assert problem.value.code == refusals.DECISION_CLOSED
    assert Booking.objects.get().withdrawn_at is None


def test_approval_that_is_withdrawn_lets_nothing_be_reserved(desk):
    saga_id = desk.asked()
    give(saga_id, "yes")
    assert isinstance(desk.undo(operations.withdraw, APPROVE, saga_id), Done)
    assert Booking.objects.get().withdrawn_at
    reserved = desk.step(operations.reserve, "reserve_booking", saga_id)
    assert reserved.code == refusals.NO_BOOKING


def test_reserved_booking_has_ended_and_keeps_its_slot(desk):
    saga_id = desk.asked(starts_at=TEN)
    give(saga_id, "yes")
    assert isinstance(desk.step(operations.reserve, "reserve_booking", saga_id), Done)
    assert desk.status(saga_id) == ("reserved", "completed")
    assert desk.accept(desk.wanted(starts_at=TEN)).code == refusals.SLOT_TAKEN


@pytest.mark.parametrize(
    ("code", "expected"),
    [(refusals.INSUFFICIENT_FUNDS, "failed"), (refusals.STOPPED, "cancelled"), ("", "cancelled")],
)
def test_slot_of_a_booking_without_success_is_free(desk, code, expected):
    saga_id = desk.booked(starts_at=TEN)
    desk.undo(operations.fail_booking, "accept_booking", saga_id, code)
    assert desk.status(saga_id)[0] == expected
    assert isinstance(desk.accept(desk.wanted(starts_at=TEN)), Done)


def test_reserved_booking_that_is_given_back_is_cancelled_and_its_slot_free(desk):
    saga_id = desk.asked(starts_at=TEN, auto_approve=True)
    desk.step(operations.reserve, "reserve_booking", saga_id)
    desk.undo(operations.withdraw, APPROVE, saga_id)
    desk.undo(operations.fail_booking, "accept_booking", saga_id, refusals.STOPPED)
    assert desk.status(saga_id) == ("cancelled", "failed")
    assert isinstance(desk.accept(desk.wanted(starts_at=TEN)), Done)


def test_booking_that_a_person_has_ended_is_neither_asked_about_nor_approved(desk):
    ended, asked = desk.booked(), desk.asked()
    for saga_id in (ended, asked):
        desk.undo(operations.fail_booking, "accept_booking", saga_id, refusals.DISCARDED)
    assert desk.step(operations.approve, APPROVE, ended).code == refusals.NO_BOOKING
    assert give(asked, "yes").code == refusals.NO_BOOKING
