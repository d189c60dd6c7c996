import uuid
from decimal import Decimal

import pytest
from django.utils import timezone

from carrito import operations as carrito
from carrito.models import Cart, CartItem, Checkout
from carrito.operations import Accept
from contracts import refusals, sagas
from contracts.commands import Charge, Command, Item, Reserve, Undo, Unlock
from contracts.outcomes import Failure
from inventario import operations as inventario
from inventario.models import Product
from messaging.brokers import connect
from pagos import operations as pagos
from saga_choreography import models as choreography
from saga_orchestrator import models as orchestrator
from sagas.performing import perform


@pytest.fixture
def broker():
    broker = connect(f"memory://audit-{uuid.uuid4()}")
    yield broker
    broker.close()


@pytest.fixture
def shop():
    """A shop in which a saga has ended in each way, run by the services' real operations."""
    shop = Shop()
    shop.completed("sold")
    shop.completed("sold-too", pattern="choreographed")
    shop.completed("sold-as-well", pattern="orchestrated_messaging")
    shop.refused("refused")
    shop.compensated("undone", pattern="choreographed")
    shop.returned("returned")
    return shop


class Shop:
    """Runs sagas step by step, as a coordinator would, and writes the coordinator's row."""

    def __init__(self) -> None:
        self.product = Product.objects.create(
            name="p", sku="p", price="12.50", initial=100, available=100
        )

    def accept(self, saga_id: str, *, pattern: str = "orchestrated") -> None:
        cart = Cart.objects.create(id=f"cart of {saga_id}", user_id="ana")
        CartItem.objects.create(
            cart=cart, product_id=str(self.product.pk), quantity=2, unit_price="12.50"
        )
        command = Accept(
            saga_id=saga_id,
            cart_id=cart.pk,
            payment_method="credit_card",
            saga_pattern=pattern,
            idempotency_key=f"key of {saga_id}",
        )
        self._do(carrito.accept, command)
        Checkout.objects.filter(pk=saga_id).update(handed_over_at=timezone.now(), status="running")

    def reserve(self, saga_id: str, *, quantity: int = 2) -> None:
        items = [Item(str(self.product.pk), quantity)]
        command = Reserve(saga_id=saga_id, cart_id=f"cart of {saga_id}", items=items)
        self._do(inventario.reserve, command)

    def charge(self, saga_id: str) -> None:
        command = Charge(
            saga_id=saga_id,
            cart_id=f"cart of {saga_id}",
            amount=Decimal("25.00"),
            payment_method="credit_card",
        )
        self._do(pagos.charge, command)

    def completed(self, saga_id: str, *, pattern: str = "orchestrated") -> None:
        self.accept(saga_id, pattern=pattern)
        self.reserve(saga_id)
        self.charge(saga_id)
        self._do(carrito.create_order, Command(saga_id=saga_id))
        self._do(inventario.commit, Command(saga_id=saga_id))
        self._do(carrito.confirm_order, Command(saga_id=saga_id))
        self.coordinated(saga_id, "completed", pattern)

    def refused(self, saga_id: str) -> None:
        self.accept(saga_id)
        self.reserve(saga_id, quantity=999)
        self._unlock(saga_id, Failure(sagas.RESERVE, refusals.OUT_OF_STOCK))
        self.coordinated(saga_id, "failed", "orchestrated")

    def compensated(self, saga_id: str, *, pattern: str) -> None:
        self.accept(saga_id, pattern=pattern)
        self.reserve(saga_id)
        self.charge(saga_id)
        self._do(carrito.create_order, Command(saga_id=saga_id))
        self._do(inventario.block_commit, Undo(saga_id=saga_id))
        self._undo(saga_id)
        self.coordinated(saga_id, "compensated", pattern)

    def returned(self, saga_id: str) -> None:
        self.completed(saga_id)
        orchestrator.Intervention.objects.create(
            saga_id=saga_id, action="return", step=sagas.CONFIRM_ORDER, requested_by="eva"
        )
        self._do(inventario.restore, Undo(saga_id=saga_id))
        self._undo(saga_id)
        orchestrator.Saga.objects.filter(pk=saga_id).update(status="compensated")

    def coordinated(self, saga_id: str, status: str, pattern: str, **fields: object) -> None:
        ended = None if fields else timezone.now()
        if pattern == "choreographed":
            choreography.Saga.objects.create(
                saga_id=saga_id,
                cart_id=f"cart of {saga_id}",
                total_amount="25.00",
                context={},
                status=status,
                stage=0,
                started_at=timezone.now(),
                finished_at=ended,
                **fields,
            )
            return
        orchestrator.Saga.objects.create(
            saga_id=saga_id,
            cart_id=f"cart of {saga_id}",
            pattern=pattern,
            context={"total_amount": "25.00"},
            definition_id="-",
            status=status,
            deadline_at=timezone.now(),
            next_attempt_at=None,
            finished_at=ended,
            **fields,
        )
        if pattern == "orchestrated_messaging":
            self.asked(saga_id, [step.do_request for step in sagas.CHECKOUT.steps[1:]])

    def asked(self, saga_id: str, requests: list[str]) -> None:
        orchestrator.OutboxEntry.objects.bulk_create(
            orchestrator.OutboxEntry(
                event_id=f"{request} {saga_id}"[:64],
                event_type=request,
                saga_id=saga_id,
                body="{}",
                sent_at=timezone.now(),
            )
            for request in requests
        )

    def _undo(self, saga_id: str) -> None:
        self._do(carrito.cancel_order, Undo(saga_id=saga_id))
        self._do(pagos.refund, Undo(saga_id=saga_id))
        self._do(inventario.unreserve, Undo(saga_id=saga_id))
        self._unlock(saga_id, Failure(sagas.COMMIT, refusals.STOPPED, undone=True))

    def _unlock(self, saga_id: str, failure: Failure) -> None:
        self._do(carrito.unlock, Unlock(saga_id=saga_id, failure=failure))

    def _do(self, operation, command) -> None:
        perform(operation=operation, commands=[command])
