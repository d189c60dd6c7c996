import pytest

from catalogue.commands import Schedule
from contracts.saga import Undo
from envios import operations
from envios.models import Courier
from participant.executing import execute


@pytest.fixture
def courier():
    """Makes couriers; without an area unless one is given."""

    def make(capacity: int = 1, *, province: str = "", city: str = "") -> Courier:
        return Courier.objects.create(name="Rosa", province=province, city=city, capacity=capacity)

    return make


@pytest.fixture
def shop():
    return Shop()


class Shop:
    """The operations, each for one saga; they return the outcome."""

    def schedule(self, saga_id: str, destination: dict | None = None, *, step: str = ""):
        return self.schedule_all([saga_id], destination, step=step)[0]

    def schedule_all(self, saga_ids, destination: dict | None = None, *, step: str = ""):
        commands = [
            Schedule(
                saga_id=saga_id,
                step=step,
                subject=f"order {saga_id}",
                destination=destination or {},
            )
            for saga_id in saga_ids
        ]
        return [
            executed.outcome
            for executed in execute(operation=operations.schedule, commands=commands)
        ]

    def cancel(self, saga_id: str, *, step: str = "", reason: str = ""):
        command = Undo(saga_id=saga_id, step=step, reason=reason)
        return execute(operation=operations.cancel, commands=[command])[0].outcome
