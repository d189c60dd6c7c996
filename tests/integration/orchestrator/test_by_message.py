"""Sagas that go by message: lost, late, doubled and unanswered messages, and stops."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from catalogue import SAGAS
from contracts import events, projection
from contracts.projection import reply_to
from contracts.saga import Direction
from coordination import engine
from coordination.engine import Fault
from messaging.brokers import connect
from messaging.brokers.memory import forget
from saga_orchestrator import messages, operations, store
from saga_orchestrator.models import OutboxEntry, Saga, SagaStep
from tests.integration.orchestrator.conftest import accepted
from tests.integration.orchestrator.in_process import SOLD, LoseOnce, Orchestration, outcome, undone

pytestmark = pytest.mark.django_db(
    databases=["carrito", "inventario", "pagos", "tarjetas", "saga_orchestrator"], transaction=True
)

FORWARD = [projection.request_of(step, Direction.DO) for step in SAGAS["checkout"].steps[1:]]
ON_A_DECLINED_CARD = [
    "inventory.reserve",
    "payment.process",
    "inventory.unreserve",
    "checkout.fail",
]


@pytest.fixture
def orchestration():
    yield from _post("")


@pytest.fixture
def reordering_post():
    yield from _post("?duplicate=1&reorder=1")


@pytest.fixture
def doubling_post():
    yield from _post("?duplicate=1")


def _post(options):
    name = uuid.uuid4().hex
    broker = connect(f"memory://{name}{options}")
    yield Orchestration(broker)
    broker.close()
    forget(name)


def attempts(saga_id):
    return {
        saga_step.name: saga_step.do_attempts for saga_step in SagaStep.objects.filter(saga=saga_id)
    }


def both_ways(request):
    return [request, reply_to(request)]


def test_every_step_is_asked_for_once_in_order(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle()
    assert outcome(saga_id) == SOLD
    assert orchestration.types == [message for request in FORWARD for message in both_ways(request)]
    assert set(attempts(saga_id).values()) == {1}


def test_each_message_names_the_message_that_caused_it(orchestration):
    orchestration.check_out()
    orchestration.settle()
    received = [event for _, event in orchestration.received]
    assert [event.cause_id for event in received] == ["", *(event.id for event in received[:-1])]


def test_reply_says_when_the_request_was_picked_up(orchestration):
    orchestration.check_out()
    orchestration.settle()
    replied = [event for _, event in orchestration.received if event.type.endswith("replied")]
    assert all(event.data.requested_at <= event.occurred_at for event in replied)


def test_refusal_is_undone_in_reverse(orchestration):
    saga_id = orchestration.check_out(payment_method="card_declined")
    orchestration.settle()
    assert outcome(saga_id) == undone(payment="refused")
    assert orchestration.types == [
        message for request in ON_A_DECLINED_CARD for message in both_ways(request)
    ]


def test_refused_first_step_fails_with_nothing_to_undo(orchestration):
    saga_id = orchestration.check_out(quantity=100)
    orchestration.settle()
    assert outcome(saga_id)["saga"] == "failed"
    assert orchestration.types == [
        message
        for request in ("inventory.reserve", "checkout.fail")
        for message in both_ways(request)
    ]


def test_messages_doubled_and_reordered_change_nothing(reordering_post):
    saga_ids = [reordering_post.check_out() for _ in range(5)]
    reordering_post.settle()
    for saga_id in saga_ids:
        assert outcome(saga_id) == SOLD
        assert set(attempts(saga_id).values()) == {1}


def test_doubled_messages_leave_nothing_of_a_refused_checkout(doubling_post):
    saga_id = doubling_post.check_out(payment_method="card_declined")
    doubling_post.settle()
    assert outcome(saga_id) == undone(payment="refused")


def test_control_without_the_match_a_doubled_reply_moves_a_saga_twice(doubling_post, monkeypatch):
    monkeypatch.setattr(messages, "reply_to", lambda *, request: Anything())
    saga_id = doubling_post.check_out(payment_method="card_declined")
    doubling_post.settle(rounds=20)
    assert outcome(saga_id) != undone(payment="refused")


class Anything:
    """Equal to every type of message."""

    def __eq__(self, other):
        return True

    __hash__ = None


@pytest.mark.parametrize(
    ("card", "way", "ending"),
    [
        ("credit_card", FORWARD, SOLD),
        ("card_declined", ON_A_DECLINED_CARD, undone(payment="refused")),
    ],
)
def test_any_lost_message_is_made_up_for_by_asking_again(orchestration, card, way, ending):
    for lost in [message for request in way for message in both_ways(request)]:
        saga_id = orchestration.check_out(payment_method=card)
        loses = LoseOnce(lost)
        orchestration.settle(loses=loses)
        assert loses.has_lost
        assert outcome(saga_id) != ending
        for _ in range(2):  # no reply: a fault; then its next attempt is due
            orchestration.wait_out()
            orchestration.settle()
        assert outcome(saga_id) == ending


def test_saga_that_waits_is_in_no_runners_in_flight_set(orchestration):
    saga_id = orchestration.check_out()
    orchestration.claim()
    saga = Saga.objects.get(pk=saga_id)
    assert (saga.runner_id, saga.asked_at is None) == (None, False)
    assert saga.next_attempt_at > saga.asked_at
    assert orchestration.claim() == 0


def test_reply_that_comes_late_is_taken_while_its_answer_is_still_due(orchestration):
    saga_id = orchestration.check_out()
    orchestration.claim()
    orchestration.wait_out()
    orchestration.claim()  # no reply in time: it waits for its next attempt
    assert Saga.objects.get(pk=saga_id).faults == 1
    Saga.objects.filter(pk=saga_id).update(next_attempt_at="2100-01-01T00:00Z")
    orchestration.settle()
    assert outcome(saga_id) == SOLD
    assert orchestration.types.count("inventory.reserve") == 1


def test_patience_grows_with_each_fault(orchestration):
    saga_id = orchestration.check_out()
    patience = []
    for _ in range(3):
        orchestration.claim()
        saga = Saga.objects.get(pk=saga_id)
        patience.append(round((saga.next_attempt_at - saga.asked_at).total_seconds()))
        orchestration.wait_out()
        orchestration.claim()
        orchestration.wait_out()
    assert patience == [10, 20, 40]


def test_step_that_is_never_answered_is_given_up_and_undone(orchestration):
    saga_id = orchestration.check_out()
    silent = {"payment.process"}
    for _ in range(2 * engine.TRIES):
        orchestration.settle(loses=lambda service, event: event.type in silent)
        orchestration.wait_out()
    orchestration.settle()
    saga = Saga.objects.get(pk=saga_id)
    assert (saga.failure_step, saga.failure_code) == ("process_payment", "given_up")
    assert outcome(saga_id) == undone()
    assert attempts(saga_id)["process_payment"] == engine.TRIES


def test_charge_that_arrives_after_its_refund_takes_no_money(orchestration):
    saga_id = orchestration.check_out()
    late = []

    def holds_back(service, event):
        if event.type == "payment.process":
            late.append(event)
        return event.type == "payment.process"

    orchestration.settle(loses=holds_back)
    operations.compensate(saga_id=saga_id, requested_by="eva")
    orchestration.settle(loses=holds_back)
    orchestration.consumers["pagos"].reactions["checkout", "payment.process"].handle(late)
    orchestration.settle()
    assert outcome(saga_id) == undone()


def test_stop_takes_effect_while_a_reply_is_awaited(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle(loses=LoseOnce("order.create"))
    operations.compensate(saga_id=saga_id, requested_by="eva")
    orchestration.settle()
    assert outcome(saga_id) == undone(payment="refunded")


def test_stop_at_the_pivot_asks_to_block_it(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle(loses=LoseOnce("inventory.commit"))
    operations.compensate(saga_id=saga_id, requested_by="eva")
    orchestration.settle()
    assert outcome(saga_id) == undone(payment="refunded", order="cancelled")


def test_stop_of_a_sale_whose_reply_was_lost_becomes_a_return(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle(loses=LoseOnce(reply_to("inventory.commit")))
    operations.compensate(saga_id=saga_id, requested_by="eva")
    orchestration.settle()
    returned = undone(order="cancelled", payment="refunded")
    assert outcome(saga_id) == {**returned, "cart": "checked_out"}


def test_saga_past_its_deadline_is_turned_back_by_the_reply(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle(rounds=1)
    Saga.objects.filter(pk=saga_id).update(deadline_at="2020-01-01T00:00Z")
    orchestration.settle()
    assert Saga.objects.get(pk=saga_id).failure_code == "deadline_passed"
    assert outcome(saga_id) == undone()


def test_patience_ends_with_the_deadline(orchestration):
    saga_id = orchestration.check_out()
    soon = datetime.now(UTC) + timedelta(seconds=7)
    Saga.objects.filter(pk=saga_id).update(deadline_at=soon)
    orchestration.claim()
    assert abs((Saga.objects.get(pk=saga_id).next_attempt_at - soon).total_seconds()) < 2


def test_completed_saga_is_returned(orchestration):
    saga_id = orchestration.check_out()
    orchestration.settle()
    operations.compensate(saga_id=saga_id, requested_by="eva")
    orchestration.settle()
    returned = undone(payment="refunded", order="cancelled")
    assert outcome(saga_id) == returned | {"cart": "checked_out"}


def test_undo_that_is_never_answered_is_parked_and_goes_on_when_retried(orchestration):
    saga_id = orchestration.check_out(payment_method="card_declined")
    for _ in range(2 * engine.TRIES):
        orchestration.settle(loses=lambda service, event: event.type == "inventory.unreserve")
        orchestration.wait_out()
    saga = Saga.objects.get(pk=saga_id)
    assert (saga.status, saga.current_step) == ("parked", "reserve_inventory")
    assert "inventory.unreserve" in saga.parked_reason
    assert operations.retry(saga_id=saga_id, requested_by="eva") is None
    orchestration.settle()
    assert outcome(saga_id) == undone(payment="refused")


def test_undo_that_is_never_answered_can_be_skipped(orchestration):
    saga_id = orchestration.check_out(payment_method="card_declined")
    for _ in range(2 * engine.TRIES):
        orchestration.settle(loses=lambda service, event: event.type == "inventory.unreserve")
        orchestration.wait_out()
    assert operations.skip(saga_id=saga_id, requested_by="eva", reason="seen to") is None
    orchestration.settle()
    assert outcome(saga_id)["checkout"] == "compensated"


class TestPoison:
    """A service faults at a request for ever: it retries the request, then gives it up."""

    @pytest.fixture
    def broken(self, orchestration, monkeypatch):
        def breaks(service, request):
            consumer = orchestration.consumers[service]
            answer = consumer.reactions["checkout", request]

            def fault(commands):
                raise RuntimeError("the till is jammed")

            operation = replace(answer.operation, run=fault)
            broken = replace(answer, operation=operation)
            monkeypatch.setitem(consumer.reactions, ("checkout", request), broken)

        return breaks

    def until_it_gives_up(self, orchestration):
        for _ in range(6):
            orchestration.settle()
            orchestration.retry_failed()
        orchestration.settle()

    def test_step_is_given_up_with_the_kind_of_error(self, orchestration, broken, caplog):
        broken("pagos", "payment.process")
        saga_id = orchestration.check_out()
        self.until_it_gives_up(orchestration)
        saga = Saga.objects.get(pk=saga_id)
        assert (saga.failure_step, saga.failure_code) == ("process_payment", "given_up")
        assert saga.failure_detail == "RuntimeError: the log of this service says more"
        assert "the till is jammed" in caplog.text
        assert outcome(saga_id) == undone()

    def test_undo_is_parked_with_the_kind_of_error(self, orchestration, broken, monkeypatch):
        broken("inventario", "inventory.unreserve")
        saga_id = orchestration.check_out(payment_method="card_declined")
        self.until_it_gives_up(orchestration)
        saga = Saga.objects.get(pk=saga_id)
        assert (saga.status, saga.current_step) == ("parked", "reserve_inventory")
        assert "RuntimeError: the log of this service says more" in saga.parked_reason
        monkeypatch.undo()
        operations.retry(saga_id=saga_id, requested_by="eva")
        orchestration.settle()
        assert outcome(saga_id) == undone(payment="refused")


class Died(Exception):
    """The process ends here."""


def _dies(**_):
    raise Died


class TestCrash:
    def test_saga_of_a_runner_that_died_before_asking_is_asked_for_by_another(self, orchestration):
        saga_id = orchestration.check_out()
        store.claim(runner_id=orchestration.runner_id, limit=1)
        assert Saga.objects.get(pk=saga_id).runner_id == orchestration.runner_id
        store.forget_runner(runner_id=orchestration.runner_id)
        orchestration.runner_id, _ = store.renew(runner_id=None, host="there", pid=2)
        orchestration.settle()
        assert outcome(saga_id) == SOLD

    def test_transition_and_request_are_written_together_or_not_at_all(
        self, orchestration, monkeypatch
    ):
        saga_id = orchestration.check_out()
        orchestration.settle(rounds=1)
        orchestration.relay()
        before = Saga.objects.get(pk=saga_id)
        requests_before = OutboxEntry.objects.count()
        taken = orchestration.queues["saga_orchestrator"].take(limit=1, timeout=0)
        reply = events.decode(taken[0].message.body)
        reaction = orchestration.consumers["saga_orchestrator"].reactions[reply.saga, reply.type]
        with monkeypatch.context() as broken:
            broken.setattr(messages.outbox, "add", _dies)
            with pytest.raises(Died):
                reaction.handle([reply])
        after = Saga.objects.get(pk=saga_id)
        assert (after.position, after.version) == (before.position, before.version)
        assert OutboxEntry.objects.count() == requests_before
        orchestration.queues["saga_orchestrator"].give_back(taken)
        orchestration.settle()
        assert outcome(saga_id) == SOLD

    def test_runner_that_wakes_up_after_the_reply_can_not_write_what_it_held(self, orchestration):
        saga_id = orchestration.check_out()
        orchestration.claim()
        orchestration.wait_out()
        (held,) = store.claim(runner_id=orchestration.runner_id, limit=1)
        orchestration.relay()
        orchestration.deliver("inventario")
        orchestration.relay()
        orchestration.deliver("saga_orchestrator")
        transition = engine.after(progress=held.progress, answer=Fault("late"), draw=0)
        assert store.record(transitions=[(held, transition)]) == {}
        orchestration.settle()
        assert outcome(saga_id) == SOLD


def test_reply_does_not_move_a_saga_that_goes_by_call(orchestration):
    context = accepted()
    operations.start(contexts=[context])
    another, _ = store.renew(runner_id=None, host="here", pid=2)
    (claimed,) = store.claim(runner_id=another, limit=1)
    other = orchestration.check_out()
    orchestration.settle()
    _, reply = orchestration.received[1]
    forged = msgspec.structs.replace(reply, saga_id=context.saga_id)
    orchestration.consumers["saga_orchestrator"].reactions[reply.saga, reply.type].handle([forged])
    assert Saga.objects.get(pk=context.saga_id).version == claimed.version
    assert outcome(other) == SOLD
