"""The test bench of every run: a stack of its own, load and meters, and the audit at the end."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from catalogue import SAGAS
from catalogue.services import COORDINATORS, needed_by
from contracts.saga import Saga
from loadtests.evaluating.results import Audit
from loadtests.load.generator import Generator
from loadtests.load.workload import Supplier, Workload
from loadtests.measuring.cost import Meters
from loadtests.measuring.machine import make_checkpoint_if_due
from loadtests.measuring.outcomes import Outcomes
from loadtests.measuring.timeline import Timeline
from loadtests.running.runner import Say, WindowRunner, WindowSender
from loadtests.shop import CHECKOUT, Shop, shop_of
from stack import access
from stack.local import LocalStack

UNLIMITED = dict.fromkeys(
    ("DUETO_PERSON_RATE", "DUETO_MOST_UNDER_WAY", "INVENTARIO_MOST_RESERVED"), "0"
)
"""200 shoppers here stand for thousands."""
ROOT = Path(__file__).resolve().parents[2]
AUDIT_SECONDS = 600


def own_stack(
    *,
    variables: Mapping[str, str],
    say: Say,
    has_one_database: bool = False,
    saga: str = CHECKOUT,
    use_given: bool = True,
    auth: str = access.REQUIRED,
) -> LocalStack:
    """A fresh stack on free ports, not started yet, with the services that this saga needs in any
    pattern. `variables`: of its processes. `use_given`: on the servers that the environment names,
    if any. It has authentication unless `auth` says otherwise, and no limits per person.
    """
    return LocalStack(
        names=(*needed_by(SAGAS[saga]), *COORDINATORS),
        fresh=True,
        free_ports=True,
        restarts=False,
        announce=say,
        environment={**UNLIMITED, **variables},
        auth=auth,
        one_database=has_one_database,
        use_given=use_given,
    )


@contextlib.contextmanager
def load_on(
    *,
    shop: Shop,
    name: str,
    folder: Path,
    supplier: Supplier | None = None,
    outcomes: Outcomes | None = None,
    workers: int = 1,
) -> Iterator[WindowSender]:
    """The load of one run, with its own products. Arguments and errors: as for `runner_on`.

    `supplier`, `outcomes`: in place of those of a shop.
    """
    url = shop.urls[shop.saga.owner] + shop.saga.door
    with (
        contextlib.closing(Generator(url=url, folder=folder, workers=workers)) as generator,
        contextlib.closing(outcomes or Outcomes(shop=shop)) as outcomes,
    ):
        generator.wait_until_ready()
        supplier = supplier or Supplier(shop=shop, run=name)
        workload = Workload(supplier=supplier, saga=shop.saga)
        yield WindowSender(generator=generator, workload=workload, outcomes=outcomes)


@contextlib.contextmanager
def runner_on(
    *,
    stack: LocalStack,
    name: str,
    folder: Path,
    say: Say,
    seconds_after: float = 0.0,
    saga: str = CHECKOUT,
    elsewhere: Mapping[str, WindowRunner] | None = None,
    workers: int = 1,
) -> Iterator[WindowRunner]:
    """A runner for the windows of one run on a started stack, with its own products.

    `saga`: to start; `name`: of the run, in its products' SKUs; `folder`: for the generator's log;
    `seconds_after`: needed after the windows; `elsewhere`: runners of the arms that have a stack of
    their own; `workers`: of Locust. Raises GeneratorFailed, NotSupplied, psycopg.Error or
    BrokerUnavailable.
    """
    shop = shop_of(stack=stack, saga=saga)
    with (
        load_on(shop=shop, name=name, folder=folder, workers=workers) as sender,
        contextlib.closing(
            Meters(shop=shop, outcomes=sender.outcomes, generator_pid=sender.generator.pid)
        ) as meters,
        contextlib.closing(Timeline(shop=shop)) as timeline,
    ):
        yield WindowRunner(
            sender=sender,
            meters=meters,
            checkpoint=lambda: make_checkpoint_if_due(database=stack.superuser_urls["default"]),
            timeline=timeline,
            pause=lambda is_on: _pause(stack, paused(saga=shop.saga), is_on),
            say=say,
            seconds_after=seconds_after,
            elsewhere=elsewhere,
        )


def paused(*, saga: Saga) -> str:
    """The service frozen in windows with a pause: with the most steps, the owner excluded."""
    others = [step.service for step in saga.steps if step.service != saga.owner]
    return max(others, key=others.count)


def _pause(stack: LocalStack, participant: str, is_on: bool) -> None:
    """Freezes the processes of a participant, or continues them."""
    for kind in ("web", "worker"):
        stack.kill(f"{participant}.{kind}", signal.SIGSTOP if is_on else signal.SIGCONT)


def run_audit(*, environment: Mapping[str, str], wait_seconds: float = 0.0) -> Audit:
    """`manage.py audit` of the stack with this environment, once it is idle or `wait_seconds` are
    over. Raises subprocess.TimeoutExpired."""
    asked = subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, "manage.py", "audit", "--json", "--wait", f"{wait_seconds:g}"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS + wait_seconds,
        check=False,
    )
    return Audit(is_clean=asked.returncode == 0, output=(asked.stdout + asked.stderr).strip())
