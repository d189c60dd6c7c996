"""One runner of three is killed with a saga in flight: forty times.

Once is shown by `tests/integration/orchestrator/test_killed_runner.py`.
"""

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic

import pytest

from config.settings import BASE_DIR
from contracts.patterns import ORCHESTRATED
from tests.chaos.round import Round
from tests.waiting import eventually

RUNNERS, COUNT, AIM_SECONDS = 3, 40, 5.0
HELD = ("pagos.web", "executing.before_commit of do pagos.charge")


class FurtherRunner:
    """Another worker of the orchestrator, beside the stack's own."""

    def __init__(self, stack) -> None:
        self._environment = os.environ | stack.environment | {"DUETO_SERVICE": "saga_orchestrator"}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=BASE_DIR,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def others(stack) -> Iterator[list[FurtherRunner]]:
    running = [FurtherRunner(stack) for _ in range(RUNNERS - 1)]
    yield running
    for runner in running:
        runner.kill()


@pytest.mark.timeout(600)
def test_sagas_of_a_killed_runner_are_taken_over_in_time(
    shop, stack, triggers, others, record_property
):
    seconds = sorted(_take_over(Round(shop, triggers, ORCHESTRATED), others) for _ in range(COUNT))
    median, worst = statistics.median(seconds), seconds[-1]
    record_property("takeovers", f"{COUNT}, median {median:.2f} s, longest {worst:.2f} s")
    assert worst <= AIM_SECONDS, seconds
    shop.audit()


def _take_over(round_: Round, others: list[FurtherRunner]) -> float:
    """The seconds that a saga was without a runner."""
    (wanted,) = round_.wanted(1)
    eventually(lambda: len(_living(round_)) >= RUNNERS, what="all runners live")
    round_.triggers.hold(*HELD)
    saga = round_.buy(wanted)
    round_.triggers.wait(*HELD)
    runner, pid = _runner_of(round_, saga)
    held_by = next((other for other in others if other.process.pid == pid), None)
    if held_by:
        held_by.kill()
    else:
        round_.shop.stack.kill("saga_orchestrator.worker", signal.SIGKILL)
    killed_at = monotonic()
    eventually(lambda: _runner_of(round_, saga)[0] != runner, what="the saga is taken over")
    took = monotonic() - killed_at
    round_.triggers.release(*HELD)
    if held_by:
        held_by.start()
    round_.check()
    return took


def _living(round_: Round) -> list[tuple[int]]:
    return round_.shop.rows(
        "saga_orchestrator",
        "SELECT id FROM saga_orchestrator_runner WHERE seen_at > now() - interval '2 s'",
    )


def _runner_of(round_: Round, saga: str) -> tuple[int, int]:
    """The saga's runner: its id and its pid."""
    ((runner, pid),) = round_.shop.rows(
        "saga_orchestrator",
        "SELECT runner.id, pid FROM saga_orchestrator_saga AS saga"
        " JOIN saga_orchestrator_runner AS runner ON runner.id = runner_id WHERE saga_id = %s",
        [saga],
    )
    return runner, pid
