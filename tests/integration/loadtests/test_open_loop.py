"""Open arrivals in a user's locustfile: the guide's example as written, and others, each run by
Locust as a process of its own, in a folder without anything else."""

import csv
import os
import re
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from loadtests.drawing.words import number
from loadtests.load.windows import Arrivals, stepped
from loadtests.measuring.samples import percentile
from tests.architecture.tree import ROOT
from tests.integration.loadtests.slow_shop import SlowShop
from tests.tutorials.following import blocks

GUIDE = ROOT / "docs" / "how-to" / "open-arrivals.md"
EXAMPLE, COMMAND, SAID = (block.text for block in blocks(GUIDE.read_text()))
OF_THE_EXAMPLE = stepped(arrivals=Arrivals.POISSON, rates=(20, 40, 80), seconds=2, seed=1)
STALL = 1.0
OPEN = """
from locust import FastHttpUser, constant_throughput, task
from loadtests.load.open_loop import OpenLoop
from loadtests.load.windows import Arrivals, offsets

class Shopper(OpenLoop, FastHttpUser):
    patience = 0.5

    def schedule(self):
        return offsets(arrivals=Arrivals.CONSTANT, rate=100, seconds=0.8, seed=0)

    @task
    def buy(self):
        self.client.post("/orders", json={})
"""
CLOSED = OPEN.replace(
    "(OpenLoop, FastHttpUser):", "(FastHttpUser):\n    wait_time = constant_throughput(100)"
)


def locust(
    folder: Path, text: str, shop: SlowShop, *options: str
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    """Runs the guide's command with this locustfile; returns the result, and its arrivals."""
    (folder / "theirs.py").write_text(text)
    command = COMMAND.replace("/path/to/dueto", str(ROOT)).replace(
        "http://127.0.0.1:3000", shop.url
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-euc", " ".join([command.strip(), *options])],
        cwd=folder,
        env={**environment, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    written = folder / "out.csv"
    return ended, rows_of(written) if written.exists() else []


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def lags(arrivals: list[dict[str, str]]) -> list[float]:
    return [
        (float(arrival["started_at"]) - float(arrival["intended_at"])) * 1000
        for arrival in arrivals
    ]


def latencies(arrivals: list[dict[str, str]]) -> list[float]:
    return [
        (float(arrival["ended_at"]) - float(arrival["intended_at"])) * 1000
        if not arrival["error"]
        else inf
        for arrival in arrivals
    ]


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    with SlowShop() as shop:
        return locust(tmp_path_factory.mktemp("theirs"), EXAMPLE, shop)


def test_example_of_the_guide_ends_well_and_prints_what_the_guide_shows(example) -> None:
    ended, _ = example
    assert ended.returncode == 0, ended.stderr
    for line in SAID.splitlines():
        pattern = r"\s+".join(map(re.escape, line.replace("...", "").split()))
        assert re.search(pattern, ended.stdout), ended.stdout


def test_intended_starts_are_those_of_the_schedule(example) -> None:
    intended = [float(arrival["intended_at"]) for arrival in example[1]]
    starts = [at - OF_THE_EXAMPLE[0] for at in OF_THE_EXAMPLE]
    assert [at - intended[0] for at in intended] == pytest.approx(starts, abs=1e-5)


def test_generator_is_punctual_and_reports_how_late_it_was(example) -> None:
    """No arrival starts early; half start within half of the mean gap between two arrivals."""
    ended, arrivals = example
    late, gap = lags(arrivals), OF_THE_EXAMPLE[-1] / len(OF_THE_EXAMPLE) * 1000
    assert min(late) >= 0
    assert percentile(late, 0.5) < gap / 2
    line = re.search(r"^started late by +\d+ +(.+)$", ended.stdout, flags=re.MULTILINE)
    assert line
    exact = [number(percentile(late, share)) for share in (0.5, 0.95, 0.99, 1)]
    assert [float(number) for number in line[1].split()] == pytest.approx(
        [float(number) for number in exact], abs=0.02
    ), "to the microsecond of the file"


def test_stall_delays_no_start_and_shows_in_every_arrival_during_it(tmp_path: Path) -> None:
    """With its control: Locust's own constant throughput starts nothing in the stall."""
    text = OPEN.replace("patience = 0.5", "patience = 30")
    with SlowShop(stall=STALL) as shop:
        ended, arrivals = locust(tmp_path, text, shop)
    assert ended.returncode == 0, ended.stderr
    assert len(arrivals) == 80
    assert percentile(lags(arrivals), 0.5) < STALL * 1000 / 10
    assert sum(latency > 150 for latency in latencies(arrivals)) > 70
    with SlowShop(stall=STALL) as shop:
        rows = ("--csv", "rows", "--run-time", "6s")
        ended, _ = locust(tmp_path, CLOSED, shop, "--users", "1", *rows)
    row = rows_of(tmp_path / "rows_stats.csv")[0]
    assert int(row["Request Count"]) > 20
    assert float(row["95%"]) < 150, "one of them has met it"


def test_what_never_ends_is_infinitely_late_and_a_failure(tmp_path: Path) -> None:
    with SlowShop(hold=1000) as shop:
        ended, arrivals = locust(tmp_path, OPEN, shop)
    assert ended.returncode == 1
    assert latencies(arrivals) == [inf] * 80
    assert re.search(r"^buy +80 +80 +never +never +never +never$", ended.stdout, re.MULTILINE)


def test_instances_are_made_as_they_are_needed_and_each_is_started_and_stopped(
    tmp_path: Path,
) -> None:
    hooks = "".join(
        f"    def on_{when}(self):\n        self.client.post('/', json={{'hook': '{when}'}})\n\n"
        for when in ("start", "stop")
    )
    with SlowShop(stall=0.2) as shop:
        ended, arrivals = locust(tmp_path, OPEN.replace("    @task", f"{hooks}    @task"), shop)
    started, stopped = (sum(when in body for body in shop.bodies) for when in (b"start", b"stop"))
    assert ended.returncode == 0, ended.stderr
    assert 1 < started == stopped < len(arrivals) == 80
    assert len(shop.bodies) == 80 + started + stopped


def test_failed_request_fails_its_arrival(tmp_path: Path) -> None:
    with SlowShop(status=503) as shop:
        ended, arrivals = locust(tmp_path, OPEN, shop)
    assert ended.returncode == 1
    assert len(arrivals) == 80
    assert all("503" in arrival["error"] for arrival in arrivals)


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ("rate=100", "rate=0", "rate and seconds must be above 0"),
        ("    @task\n", "", "at least one task is needed"),
        ("def schedule", "def plan", "def schedule"),
    ],
)
def test_locustfile_that_can_not_be_run_ends_with_the_reason(
    tmp_path: Path, right: str, wrong: str, why: str
) -> None:
    with SlowShop() as shop:
        ended, arrivals = locust(tmp_path, OPEN.replace(right, wrong), shop)
    assert (ended.returncode, arrivals, shop.bodies) == (1, [], [])
    assert why in ended.stderr
