"""The generator against a server of our own: open loop, and robust against the death of a side."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from loadtests.load.generator import Answer, Generator, GeneratorFailed
from loadtests.load.windows import Arrivals, offsets
from tests.integration.loadtests.slow_shop import SlowShop


@contextmanager
def _generator(shop: SlowShop, folder: Path, *, workers: int = 1) -> Iterator[Generator]:
    url = f"{shop.url}/checkout/saga"
    with closing(Generator(url=url, folder=folder, workers=workers)) as generator:
        generator.wait_until_ready()
        yield generator


def _send(
    generator: Generator, *, rate: float, seconds: float, patience: float = 10.0
) -> list[Answer]:
    """One window of constant arrivals; its answers."""
    starts = offsets(arrivals=Arrivals.CONSTANT, rate=rate, seconds=seconds, seed=0)
    bodies = [json.dumps({"cart_id": str(n)}).encode() for n in range(len(starts))]
    sent = generator.send_window(window=_window(bodies, rate, seconds, patience))
    answers: list[Answer] = sent["answers"]
    return answers


def _window(bodies: list[bytes], rate: float, seconds: float, patience: float) -> dict[str, Any]:
    return {
        "requests": [(body, "") for body in bodies],
        "arrivals": "constant",
        "rate": rate,
        "seconds": seconds,
        "seed": 0,
        "patience": patience,
    }


def _may_be_first() -> bool:
    """Whether this user may use real-time scheduling, tried in a process of its own."""
    tries = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    ended = subprocess.run([sys.executable, "-c", tries], capture_output=True, check=False)
    return ended.returncode == 0


def test_arrivals_do_not_wait_for_answers(tmp_path: Path) -> None:
    """No request is answered before all 20 have come: a closed loop would send only the first."""
    with SlowShop(hold=20) as shop, _generator(shop, tmp_path) as generator:
        samples = _send(generator, rate=200, seconds=0.1)
    assert [sample.status for sample in samples] == [202] * 20


@pytest.mark.parametrize("workers", [1, 3])
def test_intended_starts_are_those_of_the_schedule_however_slow_the_server(
    tmp_path: Path, workers: int
) -> None:
    with SlowShop(stall=0.5) as shop, _generator(shop, tmp_path, workers=workers) as generator:
        samples = _send(generator, rate=100, seconds=0.5)
    first = samples[0].intended_at
    schedule = offsets(arrivals=Arrivals.CONSTANT, rate=100, seconds=0.5, seed=0)
    assert [sample.intended_at - first for sample in samples] == pytest.approx(schedule, abs=1e-5)


def test_stall_shows_in_every_arrival_during_it(tmp_path: Path) -> None:
    """With its control: the same stall, seen by a client that waits for each answer."""
    with SlowShop(stall=1.0) as shop, _generator(shop, tmp_path) as generator:
        samples = _send(generator, rate=100, seconds=0.8)
        open_loop = [sample.answered_at - sample.intended_at for sample in samples]
    with SlowShop(stall=1.0) as shop:
        closed_loop = [_timed_post(shop.url) for _ in range(80)]
    noticeable = 0.15  # the last of the open loop comes 0.2 s before the stall is over
    assert sum(latency > noticeable for latency in open_loop) == 80
    assert sum(latency > noticeable for latency in closed_loop) < 20


def test_samples_hold_what_was_answered(tmp_path: Path) -> None:
    with SlowShop(status=503) as shop, _generator(shop, tmp_path) as generator:
        samples = _send(generator, rate=100, seconds=0.05)
    assert {sample.status for sample in samples} == {503}
    assert all(sample.saga_id == "" and "saga-" in sample.error for sample in samples)


def test_sagas_are_kept_with_their_samples_window_after_window(tmp_path: Path) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path) as generator:
        sagas = [
            sample.saga_id for _ in range(2) for sample in _send(generator, rate=100, seconds=0.05)
        ]
        bodies = list(shop.bodies)
    assert sorted(sagas) == sorted(f"saga-{n}" for n in range(1, 11))
    assert sorted(json.loads(body)["cart_id"] for body in bodies) == sorted("01234" * 2)


def test_each_worker_sends_its_share_and_none_twice(tmp_path: Path) -> None:
    """All 20 wait for their answer at once, so each worker holds as many connections as it sent."""
    with (
        SlowShop(hold=21) as shop,
        _generator(shop, tmp_path, workers=3) as generator,
        ThreadPoolExecutor() as beside,
    ):
        sending = beside.submit(_send, generator, rate=200, seconds=0.1)
        _wait_for(lambda: len(shop.bodies) == 20)
        port = shop.server_address[1]
        held = [
            [
                connection.raddr.port for connection in worker.net_connections() if connection.raddr
            ].count(port)
            for worker in psutil.Process(generator.pid).children()
        ]
        _timed_post(shop.url)  # the one that it waited for
        samples = sending.result()
    assert sorted(held) == [6, 7, 7]
    assert [sample.status for sample in samples] == [202] * 20
    sent = [json.loads(body).get("cart_id") for body in shop.bodies[:20]]
    assert sorted(sent, key=int) == [str(number) for number in range(20)]


def test_dead_worker_is_an_error_that_names_it(tmp_path: Path) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path, workers=3) as generator:
        psutil.Process(generator.pid).children()[0].kill()
        with pytest.raises(GeneratorFailed, match="worker"):
            _send(generator, rate=10, seconds=1, patience=0.1)


def test_checkout_that_is_never_answered_is_a_sample_too(tmp_path: Path) -> None:
    with SlowShop(hold=1000) as shop, _generator(shop, tmp_path) as generator:
        samples = _send(generator, rate=100, seconds=0.05, patience=0.2)
    assert [(sample.status, sample.error) for sample in samples] == [(0, "no answer")] * 5


def test_refused_connection_is_a_sample_too(tmp_path: Path) -> None:
    with SlowShop() as shop:
        url = shop.url
    with closing(Generator(url=f"{url}/checkout/saga", folder=tmp_path)) as generator:
        generator.wait_until_ready()
        samples = _send(generator, rate=100, seconds=0.05)
    assert {sample.status for sample in samples} == {0}
    assert all("refused" in sample.error for sample in samples)


def test_generator_runs_before_all_others_where_it_may_and_reports_it(tmp_path: Path) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path) as generator:
        is_first = os.sched_getscheduler(generator.pid) == os.SCHED_FIFO
        scheduling = generator.scheduling
    assert is_first == _may_be_first()
    assert scheduling.startswith("runs before all other" if is_first else "waits for its turn")


def test_generator_ends_when_it_is_closed(tmp_path: Path) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path) as generator:
        process = psutil.Process(generator.pid)
    assert not process.is_running()


@pytest.mark.parametrize("workers", [1, 2])
def test_generator_ends_in_the_middle_of_a_window_when_the_other_side_dies(
    tmp_path: Path, workers: int
) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path, workers=workers) as generator:
        process = psutil.Process(generator.pid)
        every = [process, *process.children()]
        generator._connection.send(_window([b"{}"] * 100, 1, 100, 1))
        _wait_for(lambda: shop.bodies)
        generator.close()
        assert not any(process.is_running() for process in every)


def test_death_of_the_generator_is_an_error_with_its_log(tmp_path: Path) -> None:
    with SlowShop() as shop, _generator(shop, tmp_path) as generator:
        os.kill(generator.pid, signal.SIGKILL)
        with pytest.raises(GeneratorFailed, match="load generator"):
            _send(generator, rate=10, seconds=0.1)


def test_schedule_and_requests_that_do_not_match_are_an_error(tmp_path: Path) -> None:
    with (
        SlowShop() as shop,
        _generator(shop, tmp_path) as generator,
        pytest.raises(GeneratorFailed, match="1 requests for 100 starts"),
    ):
        generator.send_window(window=_window([b"{}"], 100, 1, 1))


def _timed_post(url: str) -> float:
    started = time.monotonic()
    urllib3.request("POST", url, body=b"{}")
    return time.monotonic() - started


def _wait_for(condition: Any, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
