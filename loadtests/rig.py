"""A stack of one's own with all that loads it and measures it: what every run is made with."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from loadtests.comparison import Audit
from loadtests.cost import Meters
from loadtests.generator import Generator
from loadtests.outcomes import Outcomes
from loadtests.runner import Runner
from loadtests.shop import shop_of
from loadtests.supplies import Supplier
from loadtests.timeline import Timeline
from loadtests.workload import Workload
from stack.local import LocalStack

ROOT = Path(__file__).resolve().parent.parent
AUDIT_SECONDS = 600
PAUSED = ("inventario.web", "inventario.worker")
"""Who stands still in the windows with a pause: whoever does the steps, in either pattern."""

Say = Callable[[str], None]


def own_stack(
    *, variables: Mapping[str, str], say: Say, has_one_database: bool = False
) -> LocalStack:
    """A fresh stack on free ports, not started yet, whose services are told these variables."""
    return LocalStack(
        fresh=True,
        free_ports=True,
        restarts=False,
        announce=say,
        environment=dict(variables),
        one_database=has_one_database,
    )


@contextlib.contextmanager
def runner_on(
    *, stack: LocalStack, name: str, folder: Path, say: Say, seconds_after: float = 0.0
) -> Iterator[Runner]:
    """A runner for the windows of one run on a started stack, with products of its own.

    `name`: of the run, in its products' SKUs; `folder`: for the files of the generator;
    `seconds_after`: what comes after the windows. Raises GeneratorFailed, NotSupplied,
    psycopg.Error or BrokerUnavailable.
    """
    shop = shop_of(stack=stack)
    with contextlib.ExitStack() as closing:
        generator = closing.enter_context(Generator(host=shop.urls["carrito"], folder=folder))
        generator.wait_until_ready()
        outcomes = Outcomes(shop=shop)
        closing.callback(outcomes.close)
        meters = Meters(shop=shop, outcomes=outcomes, generator_pid=generator.pid)
        closing.callback(meters.close)
        timeline = Timeline(shop=shop)
        closing.callback(timeline.close)
        yield Runner(
            generator=generator,
            workload=Workload(supplier=Supplier(shop=shop, run=name)),
            outcomes=outcomes,
            meters=meters,
            timeline=timeline,
            pause=lambda is_on: _pause(stack, is_on),
            folder=folder,
            say=say,
            seconds_after=seconds_after,
        )


def run_audit(*, environment: Mapping[str, str], wait_seconds: float = 0.0) -> Audit:
    """`manage.py audit` against the stack whose environment this is, once nothing moves there or
    `wait_seconds` are over. Raises subprocess.TimeoutExpired."""
    asked = subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, "manage.py", "audit", "--json", "--wait", f"{wait_seconds:g}"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS + wait_seconds,
        check=False,
    )
    return Audit(is_clean=asked.returncode == 0, said=(asked.stdout + asked.stderr).strip())


def _pause(stack: LocalStack, is_on: bool) -> None:
    """Stops the processes of one participant, or has them go on."""
    for name in PAUSED:
        stack.kill(name, signal.SIGSTOP if is_on else signal.SIGCONT)
