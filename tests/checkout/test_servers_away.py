"""The broker takes nothing, the broker dies, the database restarts: nothing is lost, all go on."""

import itertools
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from contracts.patterns import PATTERNS
from stack.rabbitmq import SERVER
from tests.checkout.shop import STATE_PATHS, Shop
from tests.waiting import eventually

CHECKOUTS = 40
MOST_GROWTH = 30 * 1024 * 1024
"""Bytes that a worker may grow by while the broker takes nothing."""


def rabbitmqctl(shop: Shop, *command: str) -> None:
    """Runs a tool against the stack's private node, with the node's own variables."""
    node = psutil.Process(shop.stack.processes["rabbitmq"]).environ()
    kept = ("PATH", "LANG", "HOME", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE", "ERL_EPMD_PORT")
    environment = {name: node[name] for name in kept}
    subprocess.run(
        [str(Path(SERVER).with_name("rabbitmqctl")), *command],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )


@contextmanager
def memory_alarm(shop: Shop) -> Iterator[None]:
    """RabbitMQ believes that it is out of memory: it reads nothing from those that publish."""
    rabbitmqctl(shop, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        yield
    finally:
        rabbitmqctl(shop, "set_vm_memory_high_watermark", "0.4")


def broker_is(shop: Shop, state: str) -> None:
    """Waits until carrito's /health shows it."""

    def has_state() -> bool:
        return shop.call("GET", "carrito", "/health")[1]["broker"]["status"] == state

    eventually(has_state, what=f"the broker is {state}")


def workers_grew(shop: Shop, before: dict[str, int]) -> list[str]:
    now = resident(shop)
    return [name for name, bytes_ in before.items() if now[name] - bytes_ > MOST_GROWTH]


def resident(shop: Shop) -> dict[str, int]:
    """Bytes in memory of each worker."""
    return {
        name: psutil.Process(pid).memory_info().rss
        for name, pid in shop.stack.processes.items()
        if name.endswith(".worker")
    }


def unsent(shop: Shop) -> int:
    ((count,),) = shop.rows(
        "carrito", "SELECT count(*) FROM carrito_outboxentry WHERE sent_at IS NULL"
    )
    return int(count)


@pytest.fixture
def under_load(shop):
    """Runs a fault in the middle of checkouts of every pattern; all complete after it."""

    def run(fault):
        product = shop.product(quantity=CHECKOUTS)
        carts = shop.carts(CHECKOUTS, product=product)
        sagas: list[str] = []
        load = threading.Thread(
            target=lambda: sagas.extend(
                shop.check_out_all(carts, itertools.cycle(PATTERNS), at_once=4)
            )
        )
        load.start()
        fault()
        load.join()
        assert shop.all_ended(sagas) == {"completed": CHECKOUTS}
        assert shop.stock(product) == (0, 0, CHECKOUTS)

    return run


@pytest.mark.timeout(180)
def test_blocked_broker_loses_nothing_and_fills_no_memory(shop):
    product = shop.product(quantity=2 * CHECKOUTS)
    with memory_alarm(shop):
        choreographed = shop.check_out_all(
            shop.carts(CHECKOUTS, product=product), ["choreographed"]
        )
        eventually(lambda: unsent(shop) > 0, what="first events wait in the outbox")
        broker_is(shop, "down")
        before = resident(shop)
        orchestrated = shop.check_out_all(shop.carts(CHECKOUTS, product=product), ["orchestrated"])
        # Orchestrated sagas need no broker and go on.
        assert shop.all_ended(orchestrated) == {"completed": CHECKOUTS}
        assert workers_grew(shop, before) == []
        assert unsent(shop) > 0
    assert shop.all_ended(choreographed) == {"completed": CHECKOUTS}
    assert shop.stock(product) == (0, 0, 2 * CHECKOUTS)
    broker_is(shop, "up")


@pytest.mark.timeout(180)
def test_killed_broker_loses_nothing(shop, stack, under_load):
    under_load(lambda: stack.kill("rabbitmq", signal.SIGKILL))
    broker_is(shop, "up")


@pytest.mark.timeout(180)
def test_restarted_database_loses_nothing(shop, stack, under_load):
    under_load(lambda: stack.restart("postgres"))
    stack.wait_ready()
    # One request of each process finds its connections gone; the next requests don't.
    for service, path in set(STATE_PATHS.values()):
        eventually(
            lambda service=service, path=path: (
                shop.call("GET", service, path.format("no-such-saga"))[0] == 404
            ),
            what=f"{service} reads its database again",
        )
