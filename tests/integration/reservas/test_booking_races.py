"""Two requests at the same moment, a hundred times: one row decides."""

import uuid

import pytest

from catalogue import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done
from coordination import decisions
from coordination.owner_views import Acceptance
from httpapi.problems import Problem
from participant.decisions import GivenVerdict
from participant.executing import execute
from reservas import operations
from reservas.models import Booking, Decision, OutboxEntry, Slot
from reservas.operations import OWNER
from tests.integration.reservas.conftest import HOUR, TEN
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["reservas"])

ROUNDS = 100
SERVICE = "reservas"
APPROVE = "approve_booking"


def code_of(outcome) -> str:
    return getattr(outcome, "code", "done")


def test_same_hour_twice_at_once_is_one_booking(desk):
    for number in range(ROUNDS):
        wanted = [desk.wanted(starts_at=TEN + number * HOUR) for _ in range(2)]
        results = at_once(
            [lambda command=command: desk.accept(command) for command in wanted], service=SERVICE
        )
        assert sorted(map(code_of, results)) == ["done", refusals.SLOT_TAKEN]
    assert Booking.objects.count() == ROUNDS


def test_same_hour_for_many_at_once_is_one_booking_and_leaves_nothing_of_the_others(desk):
    acceptance = Acceptance(owner=OWNER)
    wanted = [desk.wanted(starts_at=TEN) for _ in range(30)]
    calls = [lambda command=command: acceptance.accept(command=command) for command in wanted]
    results = at_once(calls, service=SERVICE)
    refused = [result.code for result in results if isinstance(result, Problem)]
    assert refused == [refusals.SLOT_TAKEN] * 29
    assert Booking.objects.count() == OutboxEntry.objects.count() == 1


def test_same_key_twice_at_once_is_one_booking_and_no_refusal(desk):
    acceptance = Acceptance(owner=OWNER)
    wanted = [desk.wanted(starts_at=TEN, idempotency_key="k", fingerprint="f") for _ in range(20)]
    calls = [lambda command=command: acceptance.accept(command=command) for command in wanted]
    assert len({result.saga_id for result in at_once(calls, service=SERVICE)}) == 1


def test_lists_of_the_same_slots_in_any_order_wait_for_no_circle(desk):
    slots = [Slot.objects.create(name=f"Sala {n}", price_per_hour="1.00") for n in range(5)]
    lists = [
        [
            desk.wanted(slot_id=slot.pk, starts_at=TEN + (hour + number % 2) * HOUR / 2)
            for slot in slots
            for hour in range(5)
        ][:: 1 if number % 3 else -1]
        for number in range(12)
    ]
    calls = [
        lambda commands=commands: execute(operation=operations.accept, commands=commands)
        for commands in lists
    ]
    faults = [result for result in at_once(calls, service=SERVICE) if isinstance(result, Exception)]
    assert not faults


def verdict(saga_id: str, word: str):
    def give():
        given = GivenVerdict(saga_id=saga_id, step=APPROVE, word=word, by=word)
        try:
            return decisions.give(service=SERVICE, given=given)[1]
        except Problem as problem:
            return problem

    return give


def test_abort_and_approve_at_once_agree(desk):
    won = {"yes": 0, "withdrawn": 0}
    for _ in range(ROUNDS):
        saga_id = desk.asked(saga_id=str(uuid.uuid4()))
        approved, undone = at_once(
            [
                verdict(saga_id, "yes"),
                lambda saga_id=saga_id: desk.undo(operations.withdraw, APPROVE, saga_id),
            ],
            service=SERVICE,
        )
        booking, word = Booking.objects.get(pk=saga_id), Decision.objects.get(saga_id=saga_id)
        won[word.verdict] += 1
        if word.verdict == "yes":
            assert isinstance(approved, Done)
            assert "approval" in undone.data
            assert booking.withdrawn_at
        else:
            assert approved.code == refusals.DECISION_CLOSED
            assert undone == NOTHING_TO_UNDO
            assert booking.approved_at is None
        assert booking.booking_status == "pending"
    assert sum(won.values()) == ROUNDS


def test_approve_and_reject_at_once_are_one_verdict(desk):
    for _ in range(ROUNDS):
        saga_id = desk.asked()
        results = at_once([verdict(saga_id, "yes"), verdict(saga_id, "no")], service=SERVICE)
        lost = [result for result in results if isinstance(result, Problem)]
        assert [refusal.code for refusal in lost] == [refusals.ALREADY_DECIDED]
        is_approved = desk.status(saga_id)[0] == "approved"
        assert Decision.objects.get(saga_id=saga_id).verdict == ("yes" if is_approved else "no")
