"""A transition that is written later has the same effect."""

import pytest

from catalogue import SAGAS
from checker.explorer.sagas.calls import ManualBulkheads
from contracts.outcomes import Done
from contracts.saga import Context
from contracts.states import SagaStatus
from coordination.engine import Progress
from coordination.participants import endpoint_of
from saga_orchestrator import executor, store
from saga_orchestrator.executor import Executor
from saga_orchestrator.in_flight import ClaimedSaga

PAGE = SAGAS["checkout"]


class Willing:
    """Participants that do every call."""

    def ask(self, *, endpoint, sagas):
        return [Done({}) for _ in sagas]


@pytest.fixture
def written(monkeypatch):
    """The positions of what was written."""
    positions: list[int] = []

    def record(*, transitions, **_):
        positions.extend(transition.progress.position for _, transition in transitions)
        return {saga.saga_id: 1.0 for saga, _ in transitions}

    monkeypatch.setattr(store, "record", record)
    monkeypatch.setattr(executor, "Bulkheads", ManualBulkheads)
    return positions


def test_worker_is_notified_of_each_batch_and_writes_only_before_the_pivot(written):
    """A full worker claims again when it is woken, whatever was written."""
    released: list[float | None] = []
    running = Executor(participants=Willing(), on_release=released.append)
    saga = ClaimedSaga(
        saga_id="s",
        name=PAGE.name,
        version=1,
        status=SagaStatus.RUNNING,
        context=Context(saga=PAGE.name, saga_id="s", pattern="orchestrated", subject="c"),
        progress=Progress(steps=PAGE.steps, position=1),
        stop_requested=False,
        deadline=1e12,
        entered=0.0,
    )
    running.execute(sagas=[saga])
    for calls in range(1, PAGE.pivot):
        running._bulkheads.work(endpoint_of(progress=saga.progress), 1)
        assert released == [None] * calls
        assert written == ([PAGE.pivot] if saga.progress.position == PAGE.pivot else [])
    assert saga.progress.position == PAGE.pivot
    assert running.in_flight == ["s"]
