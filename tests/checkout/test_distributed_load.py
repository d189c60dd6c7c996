"""Locust distributed: a master and two workers load the shop with the locustfile for people."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from contracts.patterns import PATTERNS
from stack.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
SECONDS = 3
MANY_SECONDS = 60


@pytest.fixture(scope="module")
def rows(stack, tmp_path_factory) -> dict[str, dict[str, str]]:
    """The master's rows by name, after a short test in which shoppers use every pattern."""
    folder = tmp_path_factory.mktemp("locust")
    (port,) = free_ports(1)
    with ExitStack() as closing:
        master = closing.enter_context(
            _locust(
                *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)),
                *("--expect-workers", str(WORKERS), "--headless", "--host", stack.urls["carrito"]),
                *("--inventory", stack.urls["inventario"], "--csv", str(folder / "rows")),
                *("--patterns", ",".join(PATTERNS), "--users", "6", "--spawn-rate", "6"),
                *("--run-time", f"{SECONDS}s"),
                log=folder / "master.log",
            )
        )
        workers = [
            closing.enter_context(
                _locust("--worker", "--master-port", str(port), log=folder / f"worker-{number}.log")
            )
            for number in range(WORKERS)
        ]
        ended = [worker.wait(MANY_SECONDS) for worker in (master, *workers)]
    logs = "\n".join(log.read_text() for log in folder.glob("*.log"))
    assert ended == [0] * (1 + WORKERS), logs
    reader = csv.DictReader((folder / "rows_stats.csv").read_text().splitlines())
    return {row["Name"]: row for row in reader}


@contextmanager
def _locust(*options: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Locust process, ended where the test ends before it."""
    command = [sys.executable, "-W", "ignore", "-m", "locust", "-f", "loadtests/locustfile.py"]
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_master_counts_what_its_workers_did(rows):
    assert rows["Aggregated"]["Failure Count"] == "0"
    for pattern in PATTERNS:
        assert int(rows[f"saga {pattern}"]["Request Count"]) > 0


def test_shoppers_of_every_worker_bought_something(shop, rows):
    """Each process of Locust makes products of its own; the master has no shoppers."""
    bought = shop.rows(
        "inventario",
        "SELECT DISTINCT split_part(sku, '-', 2) FROM inventario_product"
        " WHERE sku LIKE 'LOCUST-%%' AND reserved + sold > 0",
    )
    assert len(bought) == WORKERS
