"""The checkout in one thread, in each pattern: real services, tables, consumers, relays and
executor, on PostgreSQL and the memory broker.

The scenario decides the order of events.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import transaction
from django.test import Client as TestClient

import pagos.operations
from carrito.models import Cart, CartItem
from carrito.operations import OWNER
from coordination import owner_views
from coordination.sweeping import sweeps
from httpapi.client import Unreachable
from inventario.models import Product
from loadtests.audit import checking
from messaging import consumer as consuming
from messaging.brokers import BrokerUnavailable, Message, connect
from pagos.desk import Desk
from participant import failpoints
from saga_choreography import operations as choreography
from saga_choreography import store
from saga_choreography.watchdog import look
from saga_orchestrator import operations as orchestrator
from saga_orchestrator.executor import Executor
from tests.seeded.in_process import Killed, Network, Orchestrator
from tests.seeded.workers import Worker

SERVICES = ("inventario", "pagos", "carrito", "saga_choreography", "saga_orchestrator")
ADDRESS = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}
BROKER = "memory://seeded"
MOST_ROUNDS = 40
"""Twice the steps of the longest scenario; beyond it there is an endless loop."""


class Shop:
    """Does nothing by itself."""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr(consuming, "IDLE_SECONDS", 0)
        monkeypatch.setattr(failpoints, "reach", self._reach)
        monkeypatch.setattr(owner_views, "give", lambda **given: None)  # no thread of its own
        self._monkeypatch = monkeypatch
        self.broker = connect(BROKER)
        self.network = Network(monkeypatch)
        self.orchestrator = Orchestrator(monkeypatch)
        self.poisoned: set[str] = set()
        self._checkouts = 0
        self._hooks: dict[str, Callable[[], None]] = {}
        self._poison(monkeypatch)
        self._handovers = sweeps(owner=OWNER)
        self._desk = Desk()
        self.workers = {
            service: Worker(service=service, broker=self.broker) for service in SERVICES
        }

    def at(self, point: str, action: Callable[[], None]) -> None:
        """Runs the action once the point is reached: `executing.before_commit of do pay`."""
        self._hooks[point] = action

    def stock(self, *, units: int = 5, price: str = "10.00") -> Product:
        count = Product.objects.count()
        return Product.objects.create(
            name=f"p{count}", sku=f"p{count}", price=price, initial=units, available=units
        )

    def cart(self, product: Product, *, quantity: int = 1) -> str:
        cart = Cart.objects.create(id=f"cart-{Cart.objects.count()}", user_id="ana")
        CartItem.objects.create(
            cart=cart, product_id=str(product.pk), quantity=quantity, unit_price=product.price
        )
        return cart.pk

    def check_out(
        self,
        pattern: str,
        *,
        cart: str = "",
        payment_method: str = "credit_card",
        quantity: int = 1,
        key: str = "",
    ) -> str:
        """Through the shop's own path; the saga's id, or empty for a refusal. Each request has a
        new key unless one is given, so that ids are the same in every run.
        """
        self._checkouts += 1
        headers = {"Idempotency-Key": key or f"checkout {self._checkouts}"}
        answer = TestClient().post(
            "/checkout/saga",
            {
                "cart_id": cart or self.cart(self.stock(), quantity=quantity),
                "user_id": "ana",
                "payment_method": payment_method,
                "billing_address": ADDRESS,
                "saga_pattern": pattern,
            },
            content_type="application/json",
            headers=headers,
        )
        return answer.json().get("saga_id", "")

    def hand_over(self) -> None:
        """Runs only carrito's hand-overs, once."""
        for handover in self._handovers:
            handover.hand_over_once()

    def settle(self, *, without: Collection[str] = ()) -> None:
        """Runs everything until nothing is left. `without`: consumers that are stopped."""
        for _ in range(MOST_ROUNDS):
            moved = sum(self._in_process(handover.hand_over_once) for handover in self._handovers)
            moved += sum(self._in_process(worker.relay) for worker in self.workers.values())
            running = [worker for worker in self.workers.values() if worker.service not in without]
            moved += sum(worker.consume() for worker in running)
            moved += self._in_process(self.orchestrator.work, self.orchestrator.open_again)
            moved += self._in_process(self._desk.ask_due)
            moved = moved or self._in_process(self._work_early, self.orchestrator.open_again)
            if not moved:
                return

    def settle_to_the_last_try(self) -> None:
        """As `settle`; failed messages get all their tries, without their delays."""
        self.settle()
        while sum([worker.retry_failed() for worker in self.workers.values()]):
            self.settle()

    def look(self) -> None:
        """The watchdog looks, and its messages are handled."""
        look(now=store.now())
        self.settle()

    def undo(self, saga_id: str, pattern: str) -> None:
        """A user requests the undo of a saga: an abort, or a return."""
        if pattern.startswith("orchestrated"):
            orchestrator.compensate(saga_id=saga_id, requested_by="eva")
            return
        with transaction.atomic(using="saga_choreography"):
            choreography.compensate(saga_id=saga_id, requested_by="eva", reason="", now=store.now())

    def one_at_a_time(self) -> None:
        """Each consumer takes one message, and leaves the next to another worker."""
        self._monkeypatch.setattr(consuming, "BATCH", 1)

    def break_broker(self, *, times: int) -> None:
        """The next publishes fail."""
        publish, left = self.broker.publish, [None] * times

        def broken(messages: Sequence[Message]) -> None:
            if left:
                left.pop()
                raise BrokerUnavailable("it is away")
            publish(messages)

        self.broker.publish = broken

    def work_off(self, executor: Executor) -> None:
        """The executor of another runner works on the sagas it has in flight."""
        self._in_process(executor._bulkheads.work_off)

    def audit(self) -> list[str]:
        """The audit's findings, with the number of their group: `2 charged 2 times: ...`."""
        groups = checking.check(broker=self.broker).groups.values()
        return [f"{group.number} {breach.what}" for group in groups for breach in group.breaches]

    def _reach(self, point: str, of: Any = None) -> None:
        for name in (point, f"{point} of {of.name}" if of else point):
            action = self._hooks.pop(name, None)
            if action:
                action()

    def _work_early(self) -> int:
        return self.orchestrator.work(early=True)

    def _poison(self, monkeypatch) -> None:
        """The charges of the `poisoned` sagas always fault."""
        charge = pagos.operations.charge
        run = charge.run

        def poisoned(commands: Sequence[Any]) -> Any:
            if self.poisoned & {command.saga_id for command in commands}:
                raise ValueError("poison")
            return run(commands)

        monkeypatch.setitem(charge.__dict__, "run", poisoned)

    def _in_process(
        self, work: Callable[[], int | None], again: Callable[[], Any] | None = None
    ) -> int:
        """Whether it did anything; after a kill or an unreachable service it is tried again."""
        try:
            return work() or 0
        except (Killed, Unreachable, BrokerUnavailable):
            if again:
                again()
            return 1
