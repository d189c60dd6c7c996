"""A process obeys at its points, once; one that listens to nobody does nothing there."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from participant import failpoints
from tests.chaos.orders import Orders
from tests.checkout.shop import eventually

PROGRAM = """
from types import SimpleNamespace
from participant import failpoints

failpoints.listen(process="carrito.worker")
failpoints.reach("relay.marked", SimpleNamespace(name="do this"))
failpoints.reach("relay.marked", SimpleNamespace(name="do that"))
print("alive")
"""


@pytest.fixture
def orders(tmp_path, monkeypatch):
    monkeypatch.setenv(failpoints.FOLDER, str(tmp_path))
    monkeypatch.setattr(failpoints, "_orders", None)
    failpoints.listen(process="carrito.worker")
    return Orders(tmp_path)


def run(**environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("point", ["relay.marked", "relay.marked of do that"])
def test_process_dies_at_the_point_that_it_was_ordered_to_and_only_once(orders, point):
    orders.kill("carrito.worker", point)
    assert run().returncode == -signal.SIGKILL
    assert orders.is_taken("carrito.worker", point)
    assert run().stdout == "alive\n"


@pytest.mark.parametrize(
    ("process", "point"),
    [
        ("carrito.web", "relay.marked"),
        ("carrito.worker", "relay.confirmed"),
        ("carrito.worker", "relay.marked of do the other"),
    ],
)
def test_order_to_another_or_for_another_point_is_not_obeyed(orders, process, point):
    (orders.folder / "armed" / process).mkdir(exist_ok=True)
    orders.kill(process, point)
    assert run().stdout == "alive\n"


def test_process_without_the_folder_listens_to_nobody(orders):
    orders.kill("carrito.worker", "relay.marked")
    assert run(**{failpoints.FOLDER: ""}).stdout == "alive\n"


def test_held_thread_stays_until_it_is_released_and_others_go_on(orders):
    orders.hold("carrito.worker", "relay.marked")
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(failpoints.reach, "relay.marked")
        orders.wait("carrito.worker", "relay.marked")
        failpoints.reach("relay.marked")
        assert not held.done()
        orders.release("carrito.worker", "relay.marked")
        eventually(held.done, seconds=5)


def test_held_thread_goes_on_by_itself_in_the_end(orders, monkeypatch):
    monkeypatch.setattr(failpoints, "LONGEST_HOLD_SECONDS", 0.05)
    orders.hold("carrito.worker", "relay.marked")
    failpoints.reach("relay.marked")
    assert orders.is_taken("carrito.worker", "relay.marked")


def test_what_was_reached_is_noted(orders):
    failpoints.reach("relay.marked")
    assert orders.seen() == {("carrito.worker", "relay.marked")}
