import threading
import uuid

import pytest

from contracts.saga import Context
from coordination import engine
from coordination.participants import Participants
from saga_orchestrator import operations
from saga_orchestrator.models import Saga
from saga_orchestrator.worker import RunnerComponent
from tests.integration.orchestrator.services import Services
from tests.waiting import eventually


@pytest.fixture
def services():
    running = Services()
    yield running
    running.close()


@pytest.fixture
def participants(services):
    """Makes participants, all on one server; closes their connections at the end."""
    made = []

    def make() -> Participants:
        names = ("carrito", "inventario", "pagos")
        made.append(Participants(urls=dict.fromkeys(names, services.url)))
        return made[-1]

    yield make
    for clients in made:
        clients.close()


class InThread:
    """A runner in a thread of its own."""

    def __init__(self, runner: RunnerComponent) -> None:
        self.runner = runner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=runner.run, args=[self._stop])
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.runner._woken.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def run(participants, services):
    """Starts runners; stops them at the end."""
    running = []

    def start() -> InThread:
        running.append(InThread(RunnerComponent(participants=participants())))
        return running[-1]

    yield start
    for gate in services._gates.values():
        gate.set()
    for thread in running:
        thread.stop()


@pytest.fixture
def quick(monkeypatch):
    """Retries follow at once."""
    monkeypatch.setattr(engine, "FIRST_DELAY", 0.02)


@pytest.fixture
def start():
    """Starts so many sagas; returns their ids."""

    def make(count: int = 1) -> list[str]:
        contexts = [accepted() for _ in range(count)]
        operations.start(contexts=contexts)
        return [context.saga_id for context in contexts]

    return make


@pytest.fixture
def when():
    """Waits until a saga has these values; returns its row."""

    def wait(saga_id: str, *statuses: str, seconds: float = 15) -> Saga:
        def look() -> Saga | None:
            return Saga.objects.filter(pk=saga_id, status__in=statuses).first()

        return eventually(look, seconds=seconds, what=f"{saga_id} is {statuses}")

    return wait


def accepted(**fields) -> Context:
    """A checkout as carrito hands it over."""
    made = {
        "saga": "checkout",
        "saga_id": str(uuid.uuid4()),
        "pattern": "orchestrated",
        "subject": str(uuid.uuid4()),
        "data": {
            "items": [{"product_id": "1", "quantity": 2}],
            "total_amount": "19.90",
            "payment_method": "credit_card",
        },
    }
    return Context(**(made | fields))
