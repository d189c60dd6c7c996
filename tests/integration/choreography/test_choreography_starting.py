"""Starting: a saga is tracked if and only if its first event goes out, and that once."""

import msgspec
import pytest
from django.db import transaction

from contracts import events
from contracts.commands import Checkout
from saga_choreography import checkout
from saga_choreography.models import OutboxEntry, Saga, SagaEvent
from tests.unit.choreography.made import NOON
from tests.unit.choreography.made import checkout as made_checkout

pytestmark = pytest.mark.django_db(databases=["saga_choreography"])


def test_started_saga_is_running_and_its_first_event_waits_to_be_sent(start, said):
    assert start("a", "b") == 2
    assert {one.saga_id: one.status for one in Saga.objects.all()} == {
        "a": "running",
        "b": "running",
    }
    assert [(one.type, one.saga_id) for one in said()] == [
        (events.CHECKOUT_INITIATED, "a"),
        (events.CHECKOUT_INITIATED, "b"),
    ]


def test_first_event_carries_the_frozen_checkout_and_its_trace(start, said):
    start("a")
    (event,) = said()
    assert msgspec.json.decode(event.data.context, type=Checkout) == made_checkout("a")
    assert event.traceparent == made_checkout("a").traceparent
    assert event.occurred_at == NOON


def test_second_start_says_nothing(start, said):
    start("a")
    said()
    assert start("a", "b") == 1
    assert [one.saga_id for one in said()] == ["b"]


def test_saga_named_twice_in_one_list_starts_once(start, said):
    assert start("a", "a") == 1
    assert len(said()) == 1


def test_trail_begins_with_the_first_event(start):
    start("a")
    assert SagaEvent.objects.get(saga_id="a").event_type == events.CHECKOUT_INITIATED


def test_start_that_rolls_back_leaves_neither_saga_nor_event():
    with transaction.atomic(using="saga_choreography"):
        checkout.start(checkouts=[made_checkout("a")], now=NOON)
        transaction.set_rollback(True, using="saga_choreography")
    assert not Saga.objects.exists()
    assert not OutboxEntry.objects.exists()


def test_saga_that_tracking_has_seen_end_is_not_started_again(start, said, saga):
    saga("completed", until=6)
    assert start("s") == 0
    assert Saga.objects.get(pk="s").status == "completed"
    assert said() == []
