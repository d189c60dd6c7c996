"""A whole comparison, from the start or resumed: a fresh stack, its windows, the outage of a full
run, the audit, the report.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from catalogue import SAGAS
from catalogue.checkout import PADDED, PADDING
from contracts.projection import services_of
from loadtests import outages
from loadtests.evaluating import comparison
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Audit, Measured
from loadtests.load import plan, shopper, windows
from loadtests.load.plan import RunSettings
from loadtests.measuring import machine
from loadtests.measuring.cost import Cost
from loadtests.running.bench import own_stack, run_audit, runner_on
from loadtests.running.runner import Say
from loadtests.running.store import NoStoredRun, Store, whole_blocks
from loadtests.shop import CHECKOUT, OWN_STEPS, definition_of, shop_of
from stack import access
from stack.folders import MEASURED, STATE_FOLDER
from stack.local import LocalStack

REPORTS = STATE_FOLDER / MEASURED[0]
SETTLE_SECONDS = 60.0
"""For sagas in flight when a run was stopped during its outage."""
AWAY = "pagos"
"""Stopped in the outage of sagas that need it; in that of others, the first besides the owner."""
AWAY_SECONDS = 15.0
"""Long enough for the circuit breaker to open, and for several failed probes."""
DRAIN_SECONDS = 8.0
"""Planned for the drain of an outage; the experiment itself waits longer."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A comparison and the path of its report."""

    comparison: Comparison
    report: Path
    at_rest: Cost
    """Of its stack."""


@dataclass(frozen=True, kw_only=True)
class _Ongoing:
    """A run on its stack. `working`: a folder for temporary files."""

    stack: LocalStack
    demo: LocalStack | None
    """A second stack, without authentication, for the arm that needs one."""
    settings: RunSettings
    store: Store
    working: Path
    say: Say
    environment: dict[str, str]
    began: float
    made_at: str

    def audit(self, *, wait_seconds: float = 0.0) -> Audit:
        self.say("auditing the services' tables")
        found = [
            run_audit(environment=stack.audit_environment, wait_seconds=wait_seconds)
            for stack in (self.stack, self.demo)
            if stack
        ]
        return min(found, key=lambda audit: audit.is_clean)

    def finished(self, *, at_rest: Cost, was_stopped: bool, audit: Audit) -> FinishedRun:
        """Compares and writes everything measured so far."""
        measured = whole_blocks(measured=self.store.measured(), patterns=self.settings.patterns)
        compared = comparison.compare(
            measured=measured,
            at_rest=at_rest,
            settings=self.settings,
            environment=self.environment,
            audit=audit,
            made_at=self.made_at,
            seconds_taken=time.monotonic() - self.began,
            cores=os.cpu_count() or 1,
            was_stopped=was_stopped,
        )
        written = self.store.show(comparison=compared, measured=measured)
        return FinishedRun(comparison=compared, report=written, at_rest=at_rest)


def new_folder(*, settings: RunSettings) -> Path:
    """Makes the folder of a run that begins now, with its settings."""
    folder = REPORTS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-seed-{settings.seed}"
    Store(folder=folder).begin(settings=settings)
    return folder


def run(*, settings: RunSettings, folder: Path, known: Sequence[Measured], say: Say) -> FinishedRun:
    """Measures the windows that are not `known` yet, and writes the result to `folder`.

    On Ctrl-C the windows that have ended are drained, audited and shown. Raises StackError,
    NotSupplied, GeneratorFailed or NotMeasured; KeyboardInterrupt if no block of windows had ended.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    start = partial(
        own_stack,
        variables=_variables(settings),
        say=say,
        has_one_database=_has_monolith(settings),
        saga=settings.saga,
    )
    with (
        start() as stack,
        start(auth=access.DEMO) if _arms_in_demo(settings) else nullcontext() as demo,
        tempfile.TemporaryDirectory(prefix="dueto-compare-") as working,
    ):
        made = _Ongoing(
            stack=stack,
            demo=demo,
            settings=settings,
            store=Store(folder=folder),
            working=Path(working),
            say=say,
            environment=_environment(stack, settings),
            began=started,
            made_at=now.isoformat(timespec="seconds"),
        )
        at_rest, was_stopped = _measure(made, known)
        finished = made.finished(at_rest=at_rest, was_stopped=was_stopped, audit=made.audit())
        if was_stopped or not finished.comparison.audit.is_clean:
            return finished
        return _with_outage(made, finished)


def resume(*, folder: Path, say: Say) -> FinishedRun:
    """Resumes a stopped run. Like `run`; raises NoStoredRun if it can't be resumed."""
    store = Store(folder=folder)
    settings = store.settings()
    audit = store.audit()
    if audit is None or not audit.is_clean:
        raise NoStoredRun(
            f"{folder}: the run has no clean audit, so its data can't be used in a result"
        )
    known = whole_blocks(measured=store.measured(), patterns=settings.patterns)
    if not plan.holds(known=[measured.window for measured in known], settings=settings):
        raise NoStoredRun(
            f"{folder}: another version of Dueto began this run, with another plan: it can be shown"
            " (--report), but not resumed"
        )
    store.keep(measured=known)
    return run(settings=settings, folder=folder, known=known, say=say)


def outage_of(*, settings: RunSettings) -> outages.OutageSettings | None:
    """The outage at the end of a run, if it has one.

    Arms of the same pattern share it; the monolith has no participant to stop.
    """
    patterns = list(dict.fromkeys(shopper.pattern_of(arm=arm) for arm in settings.patterns))
    patterns = [pattern for pattern in patterns if pattern != shopper.MONOLITH]
    if not settings.is_full or not patterns:
        return None
    services = services_of(SAGAS[settings.saga])
    return outages.OutageSettings(
        patterns=patterns,
        participant=AWAY if AWAY in services else services[1],
        seconds=AWAY_SECONDS * settings.seconds / plan.USUAL_SECONDS,
        rate=settings.rate,
        seed=settings.seed,
        saga=settings.saga,
    )


def outage_seconds(*, settings: RunSettings) -> float:
    """The planned duration of the outage."""
    planned = outage_of(settings=settings)
    return len(planned.patterns) * (planned.load_seconds + DRAIN_SECONDS) if planned else 0.0


def _with_outage(made: _Ongoing, finished: FinishedRun) -> FinishedRun:
    """The same run with the outage of a full run; on Ctrl-C without it."""
    planned = outage_of(settings=made.settings)
    if planned is None or made.store.has_outage():
        return finished
    at_rest = finished.at_rest
    try:
        found = outages.measure(
            stack=made.stack, settings=planned, folder=made.working, say=made.say
        )
    except KeyboardInterrupt:
        made.say("stopped: showing the result without the outage")
        audit = made.audit(wait_seconds=SETTLE_SECONDS)
        return made.finished(at_rest=at_rest, was_stopped=True, audit=audit)
    audit = made.audit()
    ended = outages.MeasuredOutages(settings=planned, outages=found, audit=audit)
    made.store.keep_outage(figures=outages.as_figures(finished=ended))
    return made.finished(at_rest=at_rest, was_stopped=False, audit=audit)


def _environment(stack: LocalStack, settings: RunSettings) -> dict[str, str]:
    """The environment of the result, and the shop's settings that are not the usual ones."""
    found = machine.describe(shop=shop_of(stack=stack), database=stack.database)
    if settings.saga != CHECKOUT:
        steps = definition_of(saga=settings.saga).steps[1:]
        found["saga"] = f"{settings.saga}: {', '.join(step.name for step in steps)}"
    if settings.hop_ms:
        found["distance"] = (
            f"{settings.hop_ms:g} ms of one-way delay added between services and broker"
        )
    if _arms_in_demo(settings):
        found["access"] = (
            "two stacks at the same time on this machine: one without authentication (in demo),"
            " the other with it, for people and services, as in every other run"
        )
    if settings.zipf:
        found["products"] = f"demand for the n-th product is 1 / n^{settings.zipf:g} (Zipf)"
    if settings.extra_steps:
        added = ", ".join(PADDED[: settings.extra_steps])
        floor = "; the monolith takes none of these" if _has_monolith(settings) else ""
        found["steps"] = (
            f"{settings.steps} after the acceptance: the checkout's own {OWN_STEPS}, and"
            f" {settings.extra_steps} more that change nothing ({added}){floor}"
        )
    if _has_monolith(settings):
        found["databases"] = (
            "one for all services, because of the monolith: the same checkout in one local"
            " transaction, without a saga; not a pattern of the shop, but a baseline"
        )
    return found


def _has_monolith(settings: RunSettings) -> bool:
    return shopper.MONOLITH in [shopper.pattern_of(arm=arm) for arm in settings.patterns]


def _arms_in_demo(settings: RunSettings) -> list[str]:
    return [arm for arm in settings.patterns if not shopper.is_asked(arm=arm)]


def _variables(settings: RunSettings) -> dict[str, str]:
    """The services' environment variables for this run."""
    delay = max(shopper.delay_ms_of(arm=arm) for arm in settings.patterns)
    return {
        "PAGOS_SLOW_CARD_SECONDS": str(delay / 1000),
        "DUETO_HOP_SECONDS": str(settings.hop_ms / 1000),
        PADDING: str(settings.extra_steps),
        "DUETO_MONOLITH": str(int(_has_monolith(settings))),
    }


def _measure(run: _Ongoing, known: Sequence[Measured]) -> tuple[Cost, bool]:
    """What the idle stack uses, and whether the run was stopped before its end."""
    planned, workers = plan.windows(run.settings), run.settings.workers
    of_run: dict[str, Any] = {
        "name": str(run.settings.seed),
        "say": run.say,
        "saga": run.settings.saga,
        "workers": workers,
    }
    with ExitStack() as opened:
        elsewhere = {}
        if run.demo:
            folder = run.working / "demo"
            folder.mkdir()
            other = opened.enter_context(runner_on(stack=run.demo, folder=folder, **of_run))
            elsewhere = dict.fromkeys(_arms_in_demo(run.settings), other)
        runner = opened.enter_context(
            runner_on(
                stack=run.stack,
                folder=run.working,
                seconds_after=_seconds_after(run),
                elsewhere=elsewhere,
                **of_run,
            )
        )
        shared = f"; {workers} processes share the schedule" if workers > 1 else ""
        run.environment["load generator"] = runner.scheduling + shared
        at_rest = runner.measure_rest()
        try:
            runner.run(planned=planned, known=known, done=run.store.add)
        except KeyboardInterrupt:
            if not whole_blocks(measured=run.store.measured(), patterns=run.settings.patterns):
                raise
            run.say("stopping: draining, auditing and showing what was measured")
            runner.close()
            return at_rest, True
    return at_rest, False


def _seconds_after(run: _Ongoing) -> float:
    """The time needed after the windows."""
    if not run.settings.is_full:
        return windows.AUDIT_SECONDS
    if run.store.has_outage():
        return windows.FULL_AUDIT_SECONDS / 2
    return windows.FULL_AUDIT_SECONDS + outage_seconds(settings=run.settings)
