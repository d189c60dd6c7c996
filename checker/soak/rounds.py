"""One pattern's soak, from a fresh stack to its end: load and faults, drain, audit, checks."""

import contextlib
import json
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from catalogue.services import COORDINATORS, needed_by
from checker.soak.results import Round, SoakSettings
from checker.soak.shoppers import People, PlannedRequest, Shoppers, patience
from checker.soak.watching import AcceptedRow, Watch, breaches, read_accepted, reader
from loadtests.evaluating.results import Audit
from loadtests.faults import plan
from loadtests.faults.injector import Detours, FaultInjector
from loadtests.faults.outsider import Echo
from loadtests.faults.plan import FaultKind, PlannedFault
from loadtests.load.windows import Arrivals, Mix, Window, WindowPhase, offsets
from loadtests.load.workload import Supplier, Workload
from loadtests.running.bench import UNLIMITED, run_audit
from loadtests.shop import shop_of
from stack import access
from stack.console import StackError
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

DUPLICATE_SHARE = 0.02
WAITING = 3
"""Every third shopper waits for the outcome."""
MIX = Mix(declined=0.1, scarce=0.05)
DRAIN_SECONDS = 60.0
READY_SECONDS = 60.0
REST_SECONDS = 60.0
PROGRESS_SECONDS = 5.0
LOOK_SECONDS = 0.25
MOST_GROWTH_MB = {plan.POSTGRES: 512.0, plan.RABBITMQ: 512.0}
MOST_GROWTH_OF_SERVICES_MB = 128.0

Say = Callable[[str], None]


def soak(*, pattern: str, settings: SoakSettings, say: Say) -> Round:
    """Runs a round on a separate stack, whose logs are kept if there is a breach.

    Ctrl-C ends load and faults early; drain, audit and checks still follow.
    Raises StackError, NotSupplied; KeyboardInterrupt before the load has started.
    """
    services = (*needed_by(settings.saga), *COORDINATORS)
    faults = plan.faults(
        kinds=settings.kinds,
        services=services,
        seconds=settings.seconds,
        every=settings.every,
        seed=f"{settings.seed} {pattern}",
    )
    say(f"{pattern}: {len(faults)} faults are planned")
    for fault in faults:
        say(f"  {fault.at:6.1f} s  {fault}")
    crashes: list[str] = []
    with contextlib.ExitStack() as closing:
        detours = Detours()
        closing.callback(detours.close)
        stack = closing.enter_context(
            LocalStack(
                fresh=True,
                free_ports=True,
                use_given=False,
                names=services,
                broker="rabbitmq",
                auth=access.REQUIRED,
                environment={**UNLIMITED, **patience(saga=settings.saga)},
                detour=detours.through,
                announce=lambda line: _note_crash(line, services, crashes),
            )
        )
        say(f"{pattern}: {stack.database}, {stack.broker}; logs: {stack.logs}")
        return _Soaking(
            stack=stack,
            detours=detours,
            pattern=pattern,
            settings=settings,
            faults=faults,
            crashes=crashes,
            say=say,
        ).run()


def _note_crash(line: str, services: Sequence[str], crashes: list[str]) -> None:
    """Keeps the stack's report of a service's process that ended without being killed."""
    process, _, rest = line.partition(" ")
    known = plan.processes_among(services=services)
    if process in known and rest.startswith("ended with exit code"):
        crashes.append(line)


class _Soaking:
    """A soak on a stack that is up."""

    def __init__(
        self,
        *,
        stack: LocalStack,
        detours: Detours,
        pattern: str,
        settings: SoakSettings,
        faults: Sequence[PlannedFault],
        crashes: Sequence[str],
        say: Say,
    ) -> None:
        self._stack, self._pattern, self._settings, self._say = stack, pattern, settings, say
        self._faults, self._crashes = faults, crashes
        self._read = reader(databases=stack.audit_urls)
        self._watch = Watch(read=self._read, saga=settings.saga, processes=lambda: stack.processes)
        self._injector = FaultInjector(stack=stack, detours=detours, say=say)
        self._has_duplicates = FaultKind.DUPLICATE in settings.kinds
        self._echo = Echo(
            url=stack.rabbitmq_url or "",
            share=DUPLICATE_SHARE if self._has_duplicates else 0.0,
            seed=f"{settings.seed} {pattern}",
        )
        self._shoppers = Shoppers(
            url=stack.urls[settings.saga.owner] + settings.saga.door, wanted=self._wanted()
        )
        self._people = People(saga=settings.saga, urls=stack.urls, passes=stack.passes)
        self._is_interrupted = False

    def run(self) -> Round:
        self._load()
        quiet_at = time.monotonic()
        self._say(f"{self._pattern}: load and faults are over; draining")
        drained_in = self._drain() - quiet_at
        self._people.finish()
        self._shoppers.finish()
        audit = self._audit()
        self._watch.weigh()
        accepted = read_accepted(read=self._read, saga=self._settings.saga)
        found = [*self._breaches(drained_in, accepted), *_of_audit(audit)]
        if found:
            self._keep_logs()
        return Round(
            pattern=self._pattern,
            where=f"{self._stack.database}, {self._stack.broker}",
            asked=self._shoppers.asked,
            made=self._injector.made,
            consumed=self._echo.consumed,
            repeated=self._echo.repeated,
            decided=Counter(self._people.given.values()),
            drained_in=drained_in,
            accepted=accepted,
            memory=self._watch.memory,
            ended_by_themselves=self._crashes,
            breaches=found,
            is_interrupted=self._is_interrupted,
        )

    def _wanted(self) -> list[PlannedRequest]:
        """The requests to come; their carts and stock are made already. Raises NotSupplied."""
        seed = random.Random(f"{self._settings.seed} {self._pattern}").randrange(2**31)  # noqa: S311 -- to repeat, no secret
        window = Window(
            number=1,
            block=1,
            phase=WindowPhase.FAILURES,
            pattern=self._pattern,
            arrivals=Arrivals.POISSON,
            rate=self._settings.rate,
            seconds=self._settings.seconds,
            seed=seed,
            mix=MIX,
        )
        saga = self._settings.saga
        shop = shop_of(stack=self._stack, saga=saga.name)
        supplier = Supplier(shop=shop, run=str(self._settings.seed))
        workload = Workload(supplier=supplier, saga=saga, asks_people=True)
        planned = workload.requests(window=window)
        starts = offsets(
            arrivals=window.arrivals, rate=window.rate, seconds=window.seconds, seed=seed
        )
        repeated = int(1 / DUPLICATE_SHARE) if self._has_duplicates else len(starts) + 1
        return [
            PlannedRequest(
                at=at,
                key=f"soak {seed} {n}",
                body=start.body,
                token=start.token,
                is_repeated=n % repeated == 0,
                waits=n % WAITING == 0,
            )
            for n, (at, start) in enumerate(zip(starts, planned, strict=True), start=1)
        ]

    def _load(self) -> None:
        """Runs load and faults together, until their time is over or Ctrl-C is pressed."""
        self._watch.start()
        self._echo.start()
        self._people.start()
        try:
            self._shoppers.start()
            self._injector.start(faults=self._faults)
            self._tell_progress(until=time.monotonic() + self._settings.seconds)
        except KeyboardInterrupt:
            self._say("stopped early; sagas in flight are brought to their end")
            self._is_interrupted = True
        self._shoppers.close_the_doors()
        self._injector.finish()
        self._echo.finish()
        self._watch.finish()

    def _tell_progress(self, *, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, PROGRESS_SECONDS))
            self._say(self._progress(left=max(until - time.monotonic(), 0.0)))

    def _progress(self, *, left: float) -> str:
        seen, last = self._watch.progress, self._injector.last
        ago = f"; {last.fault} {time.time() - last.ended_at:.0f} s ago" if last else ""
        return (
            f"{self._pattern}: {left:.0f} s left; {len(self._shoppers.asked)} requested,"
            f" {seen.accepted} accepted, {seen.ended} ended"
            f" (the oldest open one: {seen.oldest:.1f} s){ago}"
        )

    def _drain(self) -> float:
        """Waits until every saga is accepted and has ended; returns the time, infinite if never."""
        deadline = time.monotonic() + DRAIN_SECONDS
        told_at = time.monotonic()
        while (now := time.monotonic()) < deadline:
            with contextlib.suppress(psycopg.Error):  # it may still be on its way up
                seen = self._watch.look()
                if self._shoppers.waiting == 0 and seen.accepted == seen.ended:
                    return now
            if now - told_at >= PROGRESS_SECONDS:
                self._say(self._progress(left=0.0))
                told_at = now
            time.sleep(LOOK_SECONDS)
        return float("inf")

    def _audit(self) -> Audit:
        self._say(f"{self._pattern}: auditing")
        try:
            self._stack.wait_ready(seconds=READY_SECONDS)
            return run_audit(environment=self._stack.audit_environment, wait_seconds=REST_SECONDS)
        except (StackError, subprocess.TimeoutExpired) as error:
            return Audit(is_clean=False, output=str(error))

    def _breaches(self, drained_in: float, accepted: Sequence[AcceptedRow]) -> list[str]:
        answers = {request.wanted.key: request.answers for request in self._shoppers.asked}
        found = list(breaches(accepted=accepted, answers=answers))
        if drained_in > DRAIN_SECONDS:
            found.insert(0, f"not all had ended {DRAIN_SECONDS:.0f} s after the last fault")
        for name, memory in self._watch.memory.items():
            most = MOST_GROWTH_MB.get(name, MOST_GROWTH_OF_SERVICES_MB)
            if memory.end - memory.begin > most:
                found.append(f"{name} grew from {memory.begin:.0f} to {memory.end:.0f} MB")
        return found

    def _keep_logs(self) -> None:
        kept: Path = (
            STATE_FOLDER
            / "reports"
            / f"soak-{self._settings.seed}-{self._settings.saga.name}-{self._pattern}"
        )
        shutil.copytree(self._stack.logs, kept, dirs_exist_ok=True)
        self._say(f"{self._pattern}: something is wrong; the logs are kept in {kept}")


def _of_audit(audit: Audit) -> list[str]:
    """Its breaches, a sentence each; or its output, if it could not be made."""
    if audit.is_clean:
        return []
    try:
        groups = json.loads(audit.output)["groups"]
    except (ValueError, KeyError):
        return [f"the audit could not be made: {audit.output}"]
    return [
        f"audit {group['number']}: {breach['what']} (saga {breach['saga_id']})"
        for group in groups
        for breach in group["breaches"]
    ]
