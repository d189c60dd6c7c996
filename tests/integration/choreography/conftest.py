from datetime import datetime

import pytest

from contracts import events
from contracts.events import Event
from saga_choreography.models import OutboxEntry, Saga
from saga_choreography.tracking import track
from tests.unit.choreography.made import NOON, story


@pytest.fixture
def start():
    """Tracks the first events of sagas with these ids."""

    def start(*saga_ids: str, now: datetime = NOON) -> None:
        track(received=[story("completed", saga_id=saga_id)[0] for saga_id in saga_ids], now=now)

    return start


@pytest.fixture
def published():
    """The events that saga_choreography has published since the last call, in order."""
    before = [0]

    def published() -> list[Event]:
        new = list(OutboxEntry.objects.order_by("id").filter(id__gt=before[0]))
        before[0] = new[-1].id if new else before[0]
        return [events.decode(entry.body.encode()) for entry in new]

    return published


@pytest.fixture
def saga(start, published):
    """Tracks a saga up to one of its events; `published` then returns only later events."""

    def saga(name: str = "completed", *, until: int = 1, saga_id: str = "s") -> Saga:
        start(saga_id)
        for event in story(name, saga_id=saga_id)[1:until]:
            track(received=[event], now=event.occurred_at)
        published()
        return Saga.objects.get(pk=saga_id)

    return saga
