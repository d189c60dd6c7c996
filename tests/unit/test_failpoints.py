"""A process fires a trigger at its failpoints once; without a folder of them it does nothing."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from participant import failpoints
from tests.chaos.triggers import Triggers
from tests.waiting import eventually

PROGRAM = """
from types import SimpleNamespace
from participant import failpoints

failpoints.listen(process="carrito.worker")
failpoints.reach("relay.marked", SimpleNamespace(name="do this"))
failpoints.reach("relay.marked", SimpleNamespace(name="do that"))
print("alive")
"""


@pytest.fixture
def triggers(tmp_path, monkeypatch):
    monkeypatch.setenv(failpoints.FOLDER, str(tmp_path))
    monkeypatch.setattr(failpoints, "_orders", None)
    failpoints.listen(process="carrito.worker")
    return Triggers(tmp_path)


def run(**environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("point", ["relay.marked", "relay.marked of do that"])
def test_process_dies_at_its_failpoint_and_only_once(triggers, point):
    triggers.kill("carrito.worker", point)
    assert run().returncode == -signal.SIGKILL
    assert triggers.is_taken("carrito.worker", point)
    assert run().stdout == "alive\n"


@pytest.mark.parametrize(
    ("process", "point"),
    [
        ("carrito.web", "relay.marked"),
        ("carrito.worker", "relay.confirmed"),
        ("carrito.worker", "relay.marked of do the other"),
    ],
)
def test_trigger_for_another_process_or_failpoint_does_nothing(triggers, process, point):
    (triggers.folder / "armed" / process).mkdir(exist_ok=True)
    triggers.kill(process, point)
    assert run().stdout == "alive\n"


def test_process_without_the_folder_knows_no_trigger(triggers):
    triggers.kill("carrito.worker", "relay.marked")
    assert run(**{failpoints.FOLDER: ""}).stdout == "alive\n"


def test_held_thread_stays_until_it_is_released_and_others_go_on(triggers):
    triggers.hold("carrito.worker", "relay.marked")
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(failpoints.reach, "relay.marked")
        triggers.wait("carrito.worker", "relay.marked")
        failpoints.reach("relay.marked")
        assert not held.done()
        triggers.release("carrito.worker", "relay.marked")
        eventually(held.done, seconds=5)


def test_held_thread_goes_on_by_itself_in_the_end(triggers, monkeypatch):
    monkeypatch.setattr(failpoints, "LONGEST_HOLD_SECONDS", 0.05)
    triggers.hold("carrito.worker", "relay.marked")
    failpoints.reach("relay.marked")
    assert triggers.is_taken("carrito.worker", "relay.marked")


def test_reached_failpoint_is_recorded(triggers):
    failpoints.reach("relay.marked")
    assert triggers.seen() == {("carrito.worker", "relay.marked")}
