"""The stall detector: finds sagas that should move and don't, from the tables alone."""

import uuid
from datetime import timedelta

import pytest
from django.utils.timezone import now

import inventario.expiry
import saga_choreography.queries
import saga_orchestrator.queries
from carrito.models import Cart, Checkout
from carrito.operations import OWNER
from coordination import owner_doors
from inventario.models import Reservation
from saga_choreography.models import Saga as WatchedSaga
from saga_choreography.models import SagaEvent
from saga_choreography.store import SagaPhase
from saga_orchestrator.models import Definition, Saga, SagaStep

pytestmark = pytest.mark.django_db(
    databases=["carrito", "inventario", "saga_orchestrator", "saga_choreography"]
)


def ago(seconds):
    return now() - timedelta(seconds=seconds)


def complaints(app):
    return app.stalls(limit=10)


class TestOrchestrated:
    @pytest.fixture
    def saga(self):
        """Makes a saga that was due and moved so many seconds ago (None: not due any more)."""
        definition = Definition.objects.create(digest="d", name="checkout", steps=[])

        def make(*, due=60, moved=60, version=1, **more):
            saga_id = uuid.uuid4().hex
            return Saga.objects.create(
                saga_id=saga_id,
                name="checkout",
                pattern="orchestrated",
                definition=definition,
                subject="c",
                context={},
                current_step="process_payment",
                deadline_at=ago(-100),
                **{"status": "running", "started_at": ago(90), **more},
                version=version,
                next_attempt_at=None if due is None else ago(due),
                updated_at=ago(moved),
            )

        return make

    def test_due_saga_that_no_runner_moves_is_named(self, saga):
        lost = saga(due=61, moved=25)
        (complaint,) = complaints(saga_orchestrator.queries)
        assert f"{lost.saga_id} at process_payment" in complaint.what
        assert abs(complaint.since - ago(25)) < timedelta(seconds=1)

    def test_it_is_named_too_while_others_that_were_due_later_move(self, saga):
        lost = saga(due=70, moved=70)
        saga(due=5, moved=1)
        assert lost.saga_id in complaints(saga_orchestrator.queries)[0].what

    def test_queue_that_is_worked_off_in_order_is_green(self, saga):
        first = saga(due=80, moved=1)
        SagaStep.objects.create(
            saga=first, position=1, name="s", status="completed", finished_at=ago(1)
        )
        for _ in range(3):
            saga(due=70, moved=70, version=0)
        assert complaints(saga_orchestrator.queries) == []

    def test_sagas_in_flight_of_which_none_ends_a_step_are_named(self, saga):
        """Each is retried again and again, so none is due for long, and none moves."""
        sagas = [saga(due=-2, moved=1) for _ in range(2)]
        SagaStep.objects.create(
            saga=sagas[0], position=1, name="s", status="completed", finished_at=ago(30)
        )
        (complaint,) = complaints(saga_orchestrator.queries)
        assert complaint.what.startswith("2 orchestrated sagas are in flight and none has ended")
        assert abs(complaint.since - ago(30)) < timedelta(seconds=1)

    @pytest.mark.parametrize("moves", ["a step", "another saga"])
    def test_slow_shop_that_moves_is_green(self, saga, moves):
        slow = saga(due=-2, moved=1)
        if moves == "a step":
            SagaStep.objects.create(
                saga=slow, position=1, name="s", status="completed", finished_at=ago(3)
            )
        else:
            saga(due=None, moved=3, status="completed", finished_at=ago(3))
        assert complaints(saga_orchestrator.queries) == []

    def test_sagas_that_have_just_started_ended_or_are_parked_are_green(self, saga):
        saga(due=1, moved=1, version=0, started_at=ago(1))
        saga(due=None, status="completed", finished_at=ago(60))
        saga(due=None, status="parked", parked_at=ago(60), parked_reason="r")
        assert complaints(saga_orchestrator.queries) == []


class TestChoreographed:
    @pytest.fixture
    def saga(self):
        """Makes a saga that is due for the watchdog in so many seconds, with an event."""

        def make(*, watch=5, seen=60, status="running", **more):
            saga = WatchedSaga.objects.create(
                saga_id=uuid.uuid4().hex,
                saga="checkout",
                subject="c",
                context={},
                status=status,
                phase=SagaPhase.RUNNING,
                started_at=ago(seen + 1),
                watch_at=None if watch is None else ago(-watch),
                **more,
            )
            SagaEvent.objects.create(
                saga_id=saga.saga_id,
                event_type="inventory.reserved",
                event_id="e",
                cause_id="c",
                occurred_at=ago(seen),
                seen_at=ago(seen),
                data={},
            )
            return saga

        return make

    def test_sagas_of_which_no_event_comes_are_named(self, saga):
        silent = saga(seen=30)
        (complaint,) = complaints(saga_choreography.queries)
        assert silent.saga_id in complaint.what
        assert abs(complaint.since - ago(30)) < timedelta(seconds=1)

    def test_slow_shop_that_moves_is_green(self, saga):
        saga(seen=50)
        saga(seen=3)
        assert complaints(saga_choreography.queries) == []

    def test_events_of_sagas_that_have_ended_are_movement_too(self, saga):
        saga(seen=50)
        saga(seen=3, watch=None, status="completed", finished_at=now())
        assert complaints(saga_choreography.queries) == []

    def test_sagas_that_the_watchdog_does_not_look_at_are_named(self, saga):
        forgotten = saga(seen=70, watch=-65)
        saga(seen=3)
        (complaint,) = complaints(saga_choreography.queries)
        assert forgotten.saga_id in complaint.what
        assert "watchdog" in complaint.what

    def test_shop_at_rest_is_green(self, saga):
        saga(watch=None, status="completed", finished_at=ago(60))
        assert complaints(saga_choreography.queries) == []


class TestOwner:
    @pytest.fixture
    def checkout(self):
        def make(*, accepted, handed_over=None, pattern="orchestrated"):
            return Checkout.objects.create(
                saga_id=uuid.uuid4().hex,
                cart=Cart.objects.create(id=uuid.uuid4().hex, user_id="ana"),
                cart_version=1,
                user_id="ana",
                items=[],
                total_amount=1,
                saga="checkout",
                saga_pattern=pattern,
                context={},
                accepted_at=ago(accepted),
                handed_over_at=handed_over,
            )

        return make

    def test_checkout_that_is_not_handed_over_is_named_with_its_pattern(self, checkout):
        waiting = checkout(accepted=20)
        checkout(accepted=20, handed_over=now(), pattern="orchestrated_messaging")
        (complaint,) = owner_doors.stalls(owner=OWNER, limit=10)
        assert complaint.what == (
            f"1 orchestrated sagas are accepted and not handed over: {waiting.saga_id}"
        )

    def test_checkout_that_its_own_first_event_starts_is_green(self, checkout):
        checkout(accepted=20, pattern="choreographed")
        assert owner_doors.stalls(owner=OWNER, limit=10) == []

    def test_checkout_that_has_just_been_accepted_is_green(self, checkout):
        checkout(accepted=1)
        assert owner_doors.stalls(owner=OWNER, limit=10) == []


def test_reservation_that_is_over_and_not_released_is_named():
    Reservation.objects.create(saga_id="late", subject="c", expires_at=ago(40))
    Reservation.objects.create(saga_id="soon", subject="c", expires_at=ago(1))
    Reservation.objects.create(saga_id="done", subject="c", expires_at=ago(90), status="expired")
    (complaint,) = complaints(inventario.expiry)
    assert complaint.what == "1 reservations are over and not released, of sagas: late"
