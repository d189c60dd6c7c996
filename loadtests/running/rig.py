"""A stack of one's own with all that loads it and measures it: what every run is made with."""

import contextlib
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.load.generator import Generator
from loadtests.load.supplies import Supplier
from loadtests.load.workload import Workload
from loadtests.measuring.checkpoints import Checkpoints
from loadtests.measuring.cost import Meters
from loadtests.measuring.outcomes import Outcomes
from loadtests.measuring.timeline import Timeline
from loadtests.running.runner import Runner, Say
from loadtests.running.sending import Sender
from loadtests.shop import Shop, shop_of
from stack.local import LocalStack

PAUSED = ("inventario.web", "inventario.worker")
"""Who stands still in the windows with a pause: whoever does the steps, in either pattern."""


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


@dataclass(frozen=True, kw_only=True)
class Load:
    """What loads a shop, and what tells how it took that."""

    sender: Sender
    outcomes: Outcomes
    generator_pid: int


@contextlib.contextmanager
def load_on(*, shop: Shop, name: str, folder: Path) -> Iterator[Load]:
    """The load of one run, with products of its own. Arguments and errors: as `runner_on`."""
    with (
        Generator(host=shop.urls["carrito"], folder=folder) as generator,
        contextlib.closing(Outcomes(shop=shop)) as outcomes,
    ):
        generator.wait_until_ready()
        sender = Sender(
            generator=generator,
            workload=Workload(supplier=Supplier(shop=shop, run=name)),
            outcomes=outcomes,
            folder=folder,
        )
        yield Load(sender=sender, outcomes=outcomes, generator_pid=generator.pid)


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
    with (
        load_on(shop=shop, name=name, folder=folder) as load,
        contextlib.closing(
            Meters(shop=shop, outcomes=load.outcomes, generator_pid=load.generator_pid)
        ) as meters,
        contextlib.closing(Checkpoints(database=shop.databases["carrito"])) as checkpoints,
        contextlib.closing(Timeline(shop=shop)) as timeline,
    ):
        yield Runner(
            sender=load.sender,
            outcomes=load.outcomes,
            meters=meters,
            checkpoints=checkpoints,
            timeline=timeline,
            pause=lambda is_on: _pause(stack, is_on),
            say=say,
            seconds_after=seconds_after,
        )


def _pause(stack: LocalStack, is_on: bool) -> None:
    """Stops the processes of one participant, or has them go on."""
    for name in PAUSED:
        stack.kill(name, signal.SIGSTOP if is_on else signal.SIGCONT)
