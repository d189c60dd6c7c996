"""Several workers and web processes at once: one saga, one record of its events, one end."""

import random

import pytest
from django.db import transaction

from saga_choreography import operations
from saga_choreography.models import Action, Intervention, OutboxEntry, Saga, SagaEvent
from saga_choreography.tracking import track
from tests.threads import at_once
from tests.unit.choreography.made import FORWARD, NOON, story

DATABASE = "saga_choreography"
pytestmark = pytest.mark.django_db(databases=[DATABASE], transaction=True)

SAGAS = [f"saga {n}" for n in range(20)]


def test_same_events_tracked_by_four_workers_at_once_are_tracked_once():
    stories = [event for saga in SAGAS for event in story("completed", saga_id=saga)]
    orders = [random.Random(seed).sample(stories, len(stories)) for seed in range(4)]
    calls = [lambda received=received: track(received=received, now=NOON) for received in orders]
    assert at_once(calls, service=DATABASE) == [None] * 4
    assert set(Saga.objects.values_list("status", flat=True)) == {"completed"}
    assert SagaEvent.objects.count() == len(SAGAS) * len(FORWARD)


def test_four_requests_at_once_are_one_abort():
    track(received=story("completed", saga_id="s")[:1], now=NOON)

    def ask():
        with transaction.atomic(using=DATABASE):
            return operations.compensate(saga_id="s", requested_by="eva", reason="", now=NOON)

    answers = at_once([ask] * 4, service=DATABASE)
    assert sorted(answers, key=str) == [None, None, None, Action.ABORT]
    assert Intervention.objects.count() == 1
    assert OutboxEntry.objects.filter(event_type="checkout.checkout.abort.requested").count() == 1
