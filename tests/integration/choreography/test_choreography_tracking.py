"""Tracking: a saga is known from the first of its events that arrives; all its events are recorded,
and the phase only grows, in whatever order events come.
"""

import random
from datetime import timedelta

import msgspec
import pytest

from contracts import events
from contracts.states import SagaStatus
from messaging.brokers import Delivery, Message, connect
from messaging.brokers.memory import forget
from messaging.consumer import Consumer
from saga_choreography import queries
from saga_choreography.models import FailedMessage, Saga, SagaEvent
from saga_choreography.reactions import REACTIONS
from saga_choreography.tracking import track
from tests.unit.choreography.made import NOON, STORIES, context, event, story

pytestmark = pytest.mark.django_db(databases=["saga_choreography"])

ENDS = {
    "completed": SagaStatus.COMPLETED,
    "out of stock": SagaStatus.FAILED,
    "declined": SagaStatus.COMPENSATED,
    "aborted": SagaStatus.COMPENSATED,
    "returned": SagaStatus.COMPENSATED,
}


def receive(*received, at=NOON):
    track(received=received, now=at)


def stored() -> Saga:
    return Saga.objects.get(pk="s")


def events_of(saga_id: str) -> set[str]:
    return set(SagaEvent.objects.filter(saga_id=saga_id).values_list("event_type", flat=True))


def test_first_event_makes_a_saga_known(start):
    start("a", "b")
    assert list(Saga.objects.order_by("pk").values_list("pk", "saga", "status", "started_at")) == [
        ("a", "checkout", "running", NOON),
        ("b", "checkout", "running", NOON),
    ]
    assert Saga.objects.get(pk="a").context == msgspec.to_builtins(context("a"))
    assert events_of("a") == {"checkout.initiated"}


def test_first_event_that_comes_late_or_again_changes_nothing(start):
    receive(*story("completed")[1:])
    start("s", now=NOON + timedelta(hours=1))
    start("s", now=NOON + timedelta(hours=2))
    assert (stored().status, stored().started_at) == ("completed", NOON)
    assert events_of("s") == set(STORIES["completed"])


@pytest.mark.parametrize("name", STORIES)
def test_whole_story_in_order_is_tracked(name, start):
    start("s")
    for following in story(name):
        receive(following)
    assert stored().status == ENDS[name]
    assert events_of("s") == set(STORIES[name])
    assert stored().finished_at == story(name)[-1].occurred_at
    assert stored().watch_at is None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", STORIES)
def test_shuffled_and_doubled_story_in_batches_ends_the_same(name, seed, start):
    start("s")
    chance = random.Random(seed)
    shuffled = [*story(name), *chance.choices(story(name), k=4)]
    chance.shuffle(shuffled)
    phases = []
    while shuffled:
        size = chance.randint(1, 4)
        receive(*shuffled[:size])
        del shuffled[:size]
        phases.append(stored().phase)
    assert stored().status == ENDS[name]
    assert phases == sorted(phases)
    state = queries.state(found=stored())
    assert state.status == ENDS[name]
    assert len(state.events) == len(STORIES[name])


def test_many_sagas_in_one_batch_are_tracked_independently(start):
    start("a", "b")
    receive(*story("completed", saga_id="a"), *story("declined", saga_id="b"))
    statuses = dict(Saga.objects.values_list("saga_id", "status"))
    assert statuses == {"a": "completed", "b": "compensated"}


def test_event_of_a_running_saga_leaves_its_row_alone(start):
    start("s")
    before = Saga.objects.values().get(pk="s")
    receive(event("inventory.reserved"))
    assert Saga.objects.values().get(pk="s") == before


def test_saga_whose_other_events_were_lost_is_tracked_from_its_end():
    receive(*story("declined", saga_id="x")[2:])
    row = Saga.objects.get(pk="x")
    assert row.status == "compensated"
    assert (row.saga, row.subject, row.started_at) == ("checkout", "subject of x", NOON)


def test_return_takes_a_completed_saga_back(start):
    start("s")
    receive(*story("returned")[:6])
    assert stored().status == "completed"
    receive(story("returned")[6])
    assert (stored().status, stored().finished_at) == ("compensating", None)
    receive(story("completed")[5])
    assert stored().status == "compensating"


def test_failure_is_kept_beside_the_status(start):
    start("s")
    receive(*story("declined"))
    assert (stored().failure_step, stored().failure_code) == ("process_payment", "card_declined")


def test_new_event_unparks_a_saga(start):
    start("s")
    Saga.objects.filter(pk="s").update(
        status="parked", parked_at=NOON, parked_step="process_payment", parked_reason="silence"
    )
    receive(event("inventory.reserved"), at=NOON + timedelta(hours=1))
    assert (stored().status, stored().parked_at, stored().parked_reason) == ("running", None, "")
    assert stored().watch_at > NOON + timedelta(hours=1)


def test_known_event_leaves_a_parked_saga_parked(start):
    start("s")
    receive(event("inventory.reserved"))
    Saga.objects.filter(pk="s").update(
        status="parked", parked_at=NOON, parked_step="process_payment", parked_reason="silence"
    )
    receive(event("inventory.reserved"))
    assert stored().status == "parked"


def publish(broker, *published):
    broker.publish([Message(event.id, event.route, events.encode(event)) for event in published])


def declare(broker, consumer):
    broker.declare(
        queue=consumer.queue,
        events=[events.route(reaction.saga, reaction.on) for reaction in REACTIONS],
    )


@pytest.fixture
def broker():
    yield connect("memory://tracking")
    forget("tracking")


def test_events_from_the_broker_are_tracked_in_one_batch(broker):
    consumer = Consumer(service="saga_choreography", broker=broker, reactions=REACTIONS)
    declare(broker, consumer)
    publish(broker, *story("completed"))
    taken = broker.subscribe(queue=consumer.queue, prefetch=100).take(limit=100, timeout=1)
    consumer.handle(taken)
    assert stored().status == "completed"
    assert events_of("s") == set(STORIES["completed"])


def test_events_that_come_while_it_lingers_make_one_batch(broker, monkeypatch):
    consumer = Consumer(service="saga_choreography", broker=broker, reactions=REACTIONS, linger=60)
    declare(broker, consumer)
    first, second = story("declined")[1:3]
    publish(broker, first)
    waited = []
    linger = lambda seconds: (waited.append(seconds), publish(broker, second))  # noqa: E731 -- as short as the sleep it stands for
    monkeypatch.setattr("messaging.consumer.time.sleep", linger)
    consumer._take_and_handle(broker.subscribe(queue=consumer.queue, prefetch=100))
    assert waited == [60]
    assert consumer.counters() == {"messages_consumed": 2, "consume_batches": 1}


def test_poison_event_harms_only_itself():
    consumer = Consumer(
        service="saga_choreography", broker=connect("memory://tracking"), reactions=REACTIONS
    )
    poison = events.encode(story("completed", saga_id="bad")[5]).replace(b'"subject"', b'"topic"')
    bodies = [events.encode(event) for event in story("completed", saga_id="good")] + [poison]
    consumer.handle(
        [Delivery(Message(str(n), "t", body), False, n) for n, body in enumerate(bodies)]
    )
    assert Saga.objects.get(pk="good").status == "completed"
    assert FailedMessage.objects.get().saga_id == "bad"
