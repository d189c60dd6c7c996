import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import msgspec
import pytest
from django.db import connections
from django.utils import timezone

from carrito import operations as carrito
from carrito.models import Cart, CartItem, Checkout
from catalogue import SAGAS, refusals
from catalogue.services import WITH_DATABASE
from contracts import projection
from contracts.events import route
from contracts.outcomes import Failure, Outcome, Waiting
from contracts.saga import Context, Direction
from coordination import decisions
from envios.models import Courier
from inventario.models import Product
from loadtests.audit import checking
from messaging.brokers import connect
from pagos import desk
from pagos import store as owed
from pagos.models import Payment
from pagos.store import grant
from participant.decisions import GivenVerdict, mark_told
from participant.executing import execute
from participant.operations import YES, all_in
from pedidos import operations as pedidos
from pedidos.models import Order
from pedidos.operations import OrderItem
from reservas import operations as reservas
from reservas.models import Booking, Slot
from saga_choreography import models as choreography
from saga_orchestrator import models as orchestrator
from tests.clearing import clear
from tests.conftest import CardNetwork

TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def broker():
    broker = connect(f"memory://audit-{uuid.uuid4()}")
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def shop(django_db_setup, django_db_blocker):
    """A shop in which a saga has ended in each way, run by the services' real operations. It is
    made once and committed; what a test changes is rolled back after it.
    """
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patched:
        network = CardNetwork()
        patched.setattr(desk, "network", lambda: network)
        made = Shop()
        made.with_all_ends()
    yield made
    with django_db_blocker.unblock():
        for database in WITH_DATABASE:
            clear(database)


def run(service: str, statement: str) -> None:
    """Damages rows in the service's own database."""
    with connections[service].cursor() as cursor:
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # a table with checks to come is not altered
        cursor.execute(statement)
        assert cursor.rowcount != 0, f"no row of {service}: {statement}"


def found(broker) -> list[tuple[int, str, str]]:
    """The breaches: group, saga, what."""
    report = checking.check(broker=broker)
    return [
        (group.number, breach.saga_id, breach.what)
        for group in report.groups.values()
        for breach in group.breaches
    ]


class Shop:
    """Runs sagas step by step, as a coordinator would, and writes the coordinator's row."""

    def __init__(self) -> None:
        self.product = Product.objects.create(
            name="p", sku="p", price="12.50", initial=100, available=100
        )
        Courier.objects.create(name="c", province="Madrid", capacity=10)
        self.slot = Slot.objects.create(name="Sala Azul", price_per_hour="12.50")
        self._told: dict[str, Context] = {}
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        """The outcomes of the steps, by saga and step."""
        grant(user_id="ana", amount=Decimal("500.00"))

    def with_all_ends(self) -> None:
        """A saga for each outcome, and one that waits."""
        self.completed("sold")
        self.completed("sold-too", pattern="choreographed")
        self.completed("sold-as-well", pattern="orchestrated_messaging")
        self.refused("refused")
        self.compensated("undone", pattern="choreographed")
        self.returned("returned")
        self.completed("delivered", saga="fulfilment", pattern="choreographed")
        self.compensated("not-delivered", saga="fulfilment")
        self.returned("brought-back", saga="shipment")
        self.waiting("waits")
        self.withdrawn("withdrawn", pattern="choreographed")
        self.completed("bought", saga="purchase", pattern="choreographed")
        self.compensated("not-bought", saga="purchase")
        self.returned("given-back", saga="purchase")
        self.completed("booked", saga="booking", pattern="choreographed")
        self.compensated("not-booked", saga="booking")
        self.returned("booked-no-more", saga="booking")
        self.tell_network()

    def accept(
        self,
        saga_id: str,
        *,
        saga: str = "checkout",
        pattern: str = "orchestrated",
        quantity: int = 2,
    ) -> None:
        alike = {
            "saga_id": saga_id,
            "saga": saga,
            "step": SAGAS[saga].steps[0].name,
            "saga_pattern": pattern,
            "idempotency_key": f"key of {saga_id}",
            "payment_method": "credit_card",
        }
        model, accept = {
            "carrito": (Checkout, self._check_out),
            "pedidos": (Order, self._order),
            "reservas": (Booking, self._book),
        }[SAGAS[saga].owner]
        accept(alike, quantity)
        model.objects.filter(pk=saga_id).update(handed_over_at=timezone.now(), status="running")

    def do(self, saga_id: str, *steps: str) -> None:
        self._execute(saga_id, Direction.DO, steps)

    def undo(self, saga_id: str, *steps: str, failure: Failure | None = None) -> None:
        self._execute(saga_id, Direction.UNDO, steps, failure)

    def completed(
        self, saga_id: str, *, saga: str = "checkout", pattern: str = "orchestrated"
    ) -> None:
        self.accept(saga_id, saga=saga, pattern=pattern)
        self.do(saga_id, *steps_of(saga)[1:])
        self.coordinated(saga_id, "completed")

    def refused(self, saga_id: str) -> None:
        self.accept(saga_id, quantity=999)
        self.do(saga_id, "reserve_inventory")
        failure = Failure("reserve_inventory", refusals.OUT_OF_STOCK)
        self.undo(saga_id, "accept_checkout", failure=failure)
        self.coordinated(saga_id, "failed")

    def compensated(
        self, saga_id: str, *, saga: str = "checkout", pattern: str = "orchestrated"
    ) -> None:
        steps = steps_of(saga)[: min(SAGAS[saga].pivot, len(SAGAS[saga].steps) - 1)]
        self.accept(saga_id, saga=saga, pattern=pattern)
        self.do(saga_id, *steps[1:])
        self._execute(saga_id, Direction.BLOCK, steps_of(saga)[SAGAS[saga].pivot :][:1])
        self._undo_all(saga_id, steps)
        self.coordinated(saga_id, "compensated")

    def returned(self, saga_id: str, *, saga: str = "checkout") -> None:
        self.completed(saga_id, saga=saga)
        orchestrator.Intervention.objects.create(
            saga_id=saga_id, action="return", step=steps_of(saga)[-1], requested_by="eva"
        )
        self._undo_all(saga_id, steps_of(saga)[: SAGAS[saga].pivot + 1])
        orchestrator.Saga.objects.filter(pk=saga_id).update(status="compensated")

    def waiting(self, saga_id: str, *, pattern: str = "orchestrated") -> None:
        """Until its customer has confirmed the payment, or cancelled it."""
        self.accept(saga_id, saga="purchase", pattern=pattern)
        self.do(saga_id, "create_payment")
        payment = Payment.objects.get(saga_id=saga_id)
        context = msgspec.structs.replace(
            self.context(saga_id), results={"create_payment": {"payment_id": payment.pk}}
        )
        self._execute(saga_id, Direction.DO, ["confirm_payment"], context=context, decides=False)
        self.coordinated(saga_id, "running", current_step="confirm_payment")

    def withdrawn(self, saga_id: str, *, pattern: str) -> None:
        """Stopped while it waited."""
        self.waiting(saga_id, pattern=pattern)
        self._execute(saga_id, Direction.BLOCK, ["schedule_delivery"])
        self._undo_all(saga_id, ["accept_order", "create_payment", "confirm_payment"])
        choreography.Saga.objects.filter(pk=saga_id).update(
            status="compensated", finished_at=timezone.now()
        )

    def coordinated(self, saga_id: str, status: str, **fields: object) -> None:
        """`fields`: override those of an ended saga."""
        ended = None if fields else timezone.now()
        context = self.context(saga_id)
        alike = {
            "saga_id": saga_id,
            "subject": context.subject,
            "context": msgspec.to_builtins(context),
            "status": status,
            "finished_at": ended,
            **fields,
        }
        if context.pattern == "choreographed":
            alike.pop("current_step", None)
            choreography.Saga.objects.create(
                **alike, saga=context.saga, phase=0, started_at=timezone.now()
            )
            return
        orchestrator.Saga.objects.create(
            **alike,
            name=context.saga,
            pattern=context.pattern,
            definition_id="-",
            deadline_at=timezone.now(),
            next_attempt_at=None,
        )
        if context.pattern == "orchestrated_messaging":
            self._asked(context)

    def tell_network(self) -> None:
        """Sends refunds to the card network, like the desk of pagos' worker."""
        desk.ask(payments=owed.claim_to_ask(limit=desk.BATCH, lease=1.0))

    def _check_out(self, alike: dict[str, str], quantity: int) -> None:
        cart = Cart.objects.create(id=f"cart of {alike['saga_id']}", user_id="ana")
        CartItem.objects.create(
            cart=cart, product_id=str(self.product.pk), quantity=quantity, unit_price="12.50"
        )
        execute(operation=carrito.accept, commands=[carrito.Accept(**alike, cart_id=cart.pk)])

    def _order(self, alike: dict[str, str], quantity: int) -> None:
        command = pedidos.Accept(
            **alike,
            user_id="ana",
            items=[
                OrderItem(product_id=str(self.product.pk), sku="p", name="p", quantity=quantity)
            ],
            total_amount=Decimal("25.00"),
            destination={"province": "Madrid"},
        )
        execute(operation=pedidos.accept, commands=[command])

    def _book(self, alike: dict[str, str], quantity: int) -> None:
        """An hour of the slot for 12.50, the next one each time."""
        del alike["payment_method"]
        starts_at = TEN + Booking.objects.count() * HOUR
        command = reservas.Accept(
            **alike,
            user_id="ana",
            slot_id=self.slot.pk,
            starts_at=starts_at,
            ends_at=starts_at + HOUR,
        )
        execute(operation=reservas.accept, commands=[command])

    def _asked(self, context: Context) -> None:
        requests = [
            route(context.saga, projection.request_of(step, Direction.DO))
            for step in SAGAS[context.saga].steps[1:]
        ]
        orchestrator.OutboxEntry.objects.bulk_create(
            orchestrator.OutboxEntry(
                event_id=f"{request} {context.saga_id}"[:64],
                event_type=request,
                saga_id=context.saga_id,
                body="{}",
                sent_at=timezone.now(),
            )
            for request in requests
        )

    def _undo_all(self, saga_id: str, steps: Sequence[str]) -> None:
        failure = Failure(steps[-1], refusals.STOPPED, undone=True)
        self.undo(saga_id, *reversed(steps), failure=failure)

    def _execute(
        self,
        saga_id: str,
        direction: Direction,
        steps: Sequence[str],
        failure: Failure | None = None,
        context: Context | None = None,
        decides: bool = True,
    ) -> None:
        context = context or self._told.get(saga_id) or self.context(saga_id)
        saga = SAGAS[context.saga]
        for step in map(saga.step, steps):
            operations = all_in(import_module(f"{step.service}.operations"))
            command = projection.command(
                step=step, direction=direction, context=context, failure=failure
            )
            action = step.operation.partition(".")[2]
            (done,) = execute(operation=operations[action, direction], commands=[command])
            if decides and isinstance(done.outcome, Waiting) and step.decided_by:
                yes = GivenVerdict(saga_id=saga_id, step=step.name, word=YES, by="eva")
                decisions.give(service=step.service, given=yes, is_customer=True)
                mark_told(service=step.service, keys=[yes.key])
                (done,) = execute(operation=operations[action, direction], commands=[command])
            if direction is Direction.DO:
                self.outcomes[saga_id, step.name] = done.outcome
            context = projection.with_result(
                context=context, steps=saga.steps, step=step.name, outcome=done.outcome
            )
            self._told[saga_id] = context

    def context(self, saga_id: str) -> Context:
        found = [
            row for kind in (Checkout, Order, Booking) for row in kind.objects.filter(pk=saga_id)
        ]
        return msgspec.convert(found[0].context, Context)


def steps_of(saga: str) -> list[str]:
    return [step.name for step in SAGAS[saga].steps]
