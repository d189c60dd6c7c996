"""A participant is taken away for a while, under load: what each pattern accepts, how much waits,
and how long it takes to drain once the participant is back.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loadtests.load.schedule import Arrivals
from loadtests.load.windows import Phase, Window
from loadtests.outages.backlog import Down, Outage, outage_of
from loadtests.running.auditing import Audit, run_audit
from loadtests.running.rig import Load, load_on, own_stack
from loadtests.running.runner import Say
from loadtests.running.sending import ANSWER_SECONDS
from loadtests.shop import CHECKOUT, shop_of
from stack.local import LocalStack

LEAD_SECONDS = 3.0
"""Of load before the outage, so that it meets a shop at work."""
CONDUCTOR = "saga_orchestrator"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`seconds`: how long `participant` is away; `rate`: sagas a second, all the time: before,
    meanwhile, and as long again after its return. `saga`: what is started.
    """

    patterns: Sequence[str]
    participant: str
    seconds: float
    rate: float
    seed: int
    saga: str = CHECKOUT

    @property
    def load_seconds(self) -> float:
        """Of one pattern."""
        return LEAD_SECONDS + 2 * self.seconds


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An outage a pattern, and what the audit said in the end."""

    settings: Settings
    outages: Sequence[Outage]
    audit: Audit


def run(*, settings: Settings, say: Say) -> Finished:
    """On a fresh stack of its own, one pattern after the other.

    Raises StackError, NotSupplied, GeneratorFailed; KeyboardInterrupt on Ctrl-C.
    """
    with own_stack(variables={}, say=say, saga=settings.saga) as stack:
        with tempfile.TemporaryDirectory(prefix="dueto-outage-") as working:
            found = outages(stack=stack, settings=settings, folder=Path(working), say=say)
        say("auditing what the outages have left in the services' tables")
        audit = run_audit(environment=stack.environment)
    return Finished(settings=settings, outages=found, audit=audit)


def as_figures(*, finished: Finished) -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    return {
        "settings": asdict(finished.settings),
        "audit": asdict(finished.audit),
        "outages": [
            {
                **asdict(one),
                "down": {**asdict(one.down), "seconds": one.down.seconds},
                "course": [{**asdict(at), "backlog": at.backlog} for at in one.course],
            }
            for one in finished.outages
        ],
    }


def outages(*, stack: LocalStack, settings: Settings, folder: Path, say: Say) -> list[Outage]:
    """One a pattern, on a stack that runs. `folder`: for files. Raises as `run`.

    On Ctrl-C the participant is brought back first.
    """
    # Apart from what a run on the same stack has made.
    name = f"{settings.seed}-outage"
    shop = shop_of(stack=stack, saga=settings.saga)
    with load_on(shop=shop, name=name, folder=folder) as load:
        experiment = _Experiment(stack=stack, settings=settings, load=load)
        found = []
        for pattern in settings.patterns:
            say(f"{pattern}: {settings.participant} goes for {settings.seconds:g} s")
            found.append(experiment.run(pattern=pattern))
        return found


@dataclass(frozen=True, kw_only=True)
class _Experiment:
    stack: LocalStack
    settings: Settings
    load: Load
    _ending: threading.Event = field(default_factory=threading.Event)
    """The participant is to be brought back at once."""

    def run(self, *, pattern: str) -> Outage:
        """One pattern; returns when all that it can be is drained."""
        window = self._window(pattern)
        self.load.sender.write(window=window)
        # The load must go on while processes are stopped and started.
        with ThreadPoolExecutor(max_workers=1) as beside:
            outage = beside.submit(self._take_away)
            try:
                self.load.sender.send(window=window)
            except BaseException:
                self._ending.set()
                raise
            down = outage.result()
        self.load.outcomes.drain(within=2 * self.settings.seconds + ANSWER_SECONDS)
        self.load.outcomes.rest()
        return outage_of(
            pattern=pattern, samples=self.load.sender.collect(window=window), down=down
        )

    def _window(self, pattern: str) -> Window:
        return Window(
            number=1,
            block=1,
            phase=Phase.PAUSE,
            pattern=pattern,
            arrivals=Arrivals.CONSTANT,
            rate=self.settings.rate,
            seconds=self.settings.load_seconds,
            seed=self.settings.seed,
        )

    def _take_away(self) -> Down:
        self._ending.wait(LEAD_SECONDS)
        participant = self.settings.participant
        processes = [f"{participant}.web", f"{participant}.worker"]
        went_at = time.time()
        self.stack.stop_process(processes[0])
        before = self._counted()
        self.stack.stop_process(processes[1])
        self._ending.wait(max(0.0, went_at + self.settings.seconds - time.time()))
        after = self._counted()
        is_back_at = time.time()
        for name in processes:
            self.stack.restart(name)
        self.stack.wait_ready()
        return Down(
            participant=participant,
            went_at=went_at,
            is_back_at=is_back_at,
            calls=after[0] - before[0],
            probes=after[1] - before[1],
        )

    def _counted(self) -> tuple[int, int]:
        """The orchestrator's calls of the participant and its probes, as of a second ago."""
        counters = self.load.outcomes.counters_of(service=CONDUCTOR)
        participant = self.settings.participant
        return counters.get(f"calls.{participant}", 0), counters.get(f"probes.{participant}", 0)
