"""A worker names its components that hang, and passes on the complaints of components."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.states import Complaint
from messaging import worker
from messaging.worker import Component, Worker
from tests.waiting import eventually


class Looping:
    """Checks its `stop`, as every component does in each round."""

    name = "looping"

    def counters(self) -> dict[str, int]:
        return {}

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.01):
            pass


class Hanging(Looping):
    """Checks its `stop` once, and then waits for something that never comes."""

    name = "hanging"

    def __init__(self) -> None:
        self.gate = threading.Event()

    def run(self, stop: threading.Event) -> None:
        stop.is_set()
        self.gate.wait()


class Unhappy(Looping):
    name = "unhappy"
    complaint = Complaint(what="no bread", since=datetime.now(UTC), do="bake some")

    def complaints(self) -> list[Complaint]:
        return [self.complaint]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.gate.set()


def started(parts: list[Component]) -> Worker:
    """A worker whose components run, without its heartbeat."""
    made = Worker(service="inventario", components=parts)
    for part in parts:
        threading.Thread(target=made._run_component, args=[part], daemon=True).start()
    return made


def test_component_that_hangs_is_named_and_a_live_one_is_not(
    monkeypatch: pytest.MonkeyPatch, hanging: Hanging
) -> None:
    monkeypatch.setattr(worker, "COMPONENT_SILENT_SECONDS", 1.0)
    made = started([Looping(), hanging])
    (complaint,) = eventually(made.complaints, what="the part that hangs is named")
    assert complaint.what.startswith("the hanging of worker process")
    assert (datetime.now(UTC) - complaint.since).total_seconds() > 1
    made._stop.set()


def test_complaint_of_a_component_is_passed_on() -> None:
    made = Worker(service="inventario", components=[Looping(), Unhappy()])
    assert made.complaints() == [Unhappy.complaint]


def test_file_is_touched_until_a_component_hangs(
    monkeypatch: pytest.MonkeyPatch, hanging: Hanging, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    monkeypatch.setenv(worker.HEARTBEAT_FILE, str(file))
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(worker, "COMPONENT_SILENT_SECONDS", 1.0)
    made = started([Looping(), hanging])
    monkeypatch.setattr(made, "_beat", lambda: None)
    beating = threading.Thread(target=made._beat_until_stopped, daemon=True)
    beating.start()
    eventually(file.exists, what="the file is there")
    first = file.stat().st_mtime_ns
    eventually(lambda: file.stat().st_mtime_ns > first, what="it is touched again")
    eventually(made._hanging, what="a part hangs")
    last = file.stat().st_mtime_ns
    made._stop.wait(0.2)  # twenty beats
    made._stop.set()
    beating.join()
    assert file.stat().st_mtime_ns == last
