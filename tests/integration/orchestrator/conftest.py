import threading
import uuid
from decimal import Decimal

import pytest

from contracts.commands import Checkout, Line
from saga_orchestrator import checkout, engine
from saga_orchestrator.models import Saga
from saga_orchestrator.participants import Participants
from saga_orchestrator.runner import Runner
from tests.integration.orchestrator.services import Services, eventually


@pytest.fixture
def services():
    running = Services()
    yield running
    running.close()


@pytest.fixture
def participants(services):
    """Makes them; all their services are the one server. Closes their connections in the end."""
    made = []

    def make() -> Participants:
        names = ("carrito", "inventario", "pagos")
        made.append(Participants(urls=dict.fromkeys(names, services.url)))
        return made[-1]

    yield make
    for one in made:
        one.close()


class InThread:
    """A runner in a thread of its own."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=runner.run, args=[self._stop])
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.runner._rung.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def run(participants, services):
    """Starts runners, and stops them in the end."""
    running = []

    def start() -> InThread:
        running.append(InThread(Runner(participants=participants())))
        return running[-1]

    yield start
    for gate in services._gates.values():
        gate.set()
    for one in running:
        one.stop()


@pytest.fixture
def quick(monkeypatch):
    """Tries follow each other at once."""
    monkeypatch.setattr(engine, "FIRST_DELAY", 0.02)


@pytest.fixture
def start():
    """Starts so many sagas; gives their ids."""

    def make(count: int = 1) -> list[str]:
        checkouts = [accepted() for _ in range(count)]
        checkout.start(checkouts=checkouts)
        return [one.saga_id for one in checkouts]

    return make


@pytest.fixture
def when():
    """Waits until a saga stands like this; gives its row."""

    def wait(saga_id: str, *statuses: str, seconds: float = 15) -> Saga:
        def look() -> Saga | None:
            return Saga.objects.filter(pk=saga_id, status__in=statuses).first()

        return eventually(look, seconds=seconds, what=f"{saga_id} is {statuses}")

    return wait


def accepted(**fields) -> Checkout:
    """A checkout as carrito hands it over."""
    made = {
        "saga_id": str(uuid.uuid4()),
        "cart_id": str(uuid.uuid4()),
        "user_id": "ana",
        "items": [Line("1", 2, Decimal("9.95"))],
        "total_amount": Decimal("19.90"),
        "payment_method": "credit_card",
        "saga_pattern": "orchestrated",
    }
    return Checkout(**(made | fields))
