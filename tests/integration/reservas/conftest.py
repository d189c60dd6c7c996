import itertools
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.outcomes import Failure, Outcome
from contracts.saga import Undo
from participant.executing import execute
from participant.operations import Operation
from reservas import operations
from reservas.models import Booking, Slot
from reservas.operations import Accept

TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Desk:
    """Books one slot, step by step."""

    def __init__(self) -> None:
        self.slot = Slot.objects.create(name="Sala Azul", price_per_hour="40.00")
        self._numbers = itertools.count()

    def wanted(self, **changed: Any) -> Accept:
        """Books an hour of the slot, by default the next one."""
        starts_at = changed.pop("starts_at", TEN + next(self._numbers) * HOUR)
        return Accept(
            **{
                "saga_id": str(uuid.uuid4()),
                "saga": "booking",
                "step": "accept_booking",
                "saga_pattern": "choreographed",
                "user_id": "ana",
                "slot_id": self.slot.pk,
                "starts_at": starts_at,
                "ends_at": starts_at + HOUR,
                **changed,
            }
        )

    def accept(self, command: Accept) -> Outcome:
        return execute(operation=operations.accept, commands=[command])[0].outcome

    def booked(self, **changed: Any) -> str:
        """The id of a new booking."""
        command = self.wanted(**changed)
        self.accept(command)
        return command.saga_id

    def asked(self, **changed: Any) -> str:
        """The id of a booking whose manager has been asked."""
        saga_id = self.booked(**changed)
        self.step(operations.approve, "approve_booking", saga_id)
        return saga_id

    def step(self, operation: Operation, step: str, saga_id: str) -> Outcome:
        paid = {"evidence": "p"} if operation is operations.reserve else {}
        command = operation.command(saga_id=saga_id, saga="booking", step=step, **paid)
        return execute(operation=operation, commands=[command])[0].outcome

    def undo(self, operation: Operation, step: str, saga_id: str, code: str = "") -> Outcome:
        failure = Failure(step, code) if code else None
        command = Undo(saga_id=saga_id, saga="booking", step=step, failure=failure)
        return execute(operation=operation, commands=[command])[0].outcome

    def status(self, saga_id: str) -> tuple[str, str]:
        """The booking's status, and its saga's."""
        booking = Booking.objects.get(pk=saga_id)
        return booking.booking_status, booking.status

    def price(self, saga_id: str) -> Decimal | None:
        return Booking.objects.get(pk=saga_id).total_amount


@pytest.fixture
def desk():
    return Desk()
