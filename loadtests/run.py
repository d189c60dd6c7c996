"""A whole comparison, from nothing: an own fresh stack, its windows, the audit, the report."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtests import arms, comparison, machine, plan, report, shopper
from loadtests.comparison import Comparison
from loadtests.cost import Cost
from loadtests.plan import Settings
from loadtests.results import Measured
from loadtests.rig import Say, own_stack, run_audit, runner_on
from loadtests.shop import shop_of
from loadtests.store import NotStored, Store, whole_blocks
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

REPORTS = STATE_FOLDER / "reports"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A comparison and where it was written."""

    comparison: Comparison
    report: Path


def new_folder(*, settings: Settings) -> Path:
    """Where a run that begins now is kept; made, with what was asked for in it."""
    folder = REPORTS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-seed-{settings.seed}"
    Store(folder=folder).begin(settings=settings)
    return folder


def run(*, settings: Settings, folder: Path, known: Sequence[Measured], say: Say) -> Finished:
    """Measures what is not `known` yet, and shows all of it; `folder` is where it is kept.

    On Ctrl-C the windows that have ended are drained, audited and shown.
    Raises StackError, NotSupplied, GeneratorFailed or NotMeasured; KeyboardInterrupt where not
    one block of windows had ended.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    store = Store(folder=folder)
    with own_stack(
        variables=_variables(settings), say=say, has_one_database=_has_monolith(settings)
    ) as stack:
        environment = {
            **machine.describe(shop=shop_of(stack=stack), database=stack.database),
            **_distance(settings),
            **_databases(settings),
        }
        with tempfile.TemporaryDirectory(prefix="dueto-compare-") as working:
            at_rest, was_stopped = _measure(stack, settings, known, store, Path(working), say)
        say("auditing what the run has left in the services' tables")
        audit = run_audit(environment=stack.environment)
    measured = whole_blocks(measured=store.measured(), patterns=settings.patterns)
    compared = comparison.compare(
        measured=measured,
        at_rest=at_rest,
        settings=settings,
        environment=environment,
        audit=audit,
        made_at=now.isoformat(timespec="seconds"),
        seconds_taken=time.monotonic() - started,
        cores=os.cpu_count() or 1,
        was_stopped=was_stopped,
    )
    written = report.write(folder=folder, comparison=compared, measured=measured)
    return Finished(comparison=compared, report=written)


def resume(*, folder: Path, say: Say) -> Finished:
    """Goes on with a run that was stopped. As `run`; raises NotStored where there is none."""
    store = Store(folder=folder)
    settings = store.settings()
    audit = report.audit_of(folder=folder)
    if audit is None or not audit.is_clean:
        raise NotStored(
            f"{folder}: what it has was not audited as clean, so it can't be part of a result"
        )
    known = whole_blocks(measured=store.measured(), patterns=settings.patterns)
    store.keep(measured=known)
    return run(settings=settings, folder=folder, known=known, say=say)


def _distance(settings: Settings) -> dict[str, str]:
    if not settings.hop_ms:
        return {}
    return {
        "distance": f"services and broker are put {settings.hop_ms:g} ms further apart, one way"
    }


def _has_monolith(settings: Settings) -> bool:
    return shopper.MONOLITH in [arms.pattern_of(arm=arm) for arm in settings.patterns]


def _databases(settings: Settings) -> dict[str, str]:
    if not _has_monolith(settings):
        return {}
    return {
        "databases": "one for all services, because of the monolith: the same checkout in one local"
        " transaction, without a saga; no pattern of the shop, but what distribution costs"
    }


def _variables(settings: Settings) -> dict[str, str]:
    """What the services are told for this run."""
    delay = max(arms.delay_ms_of(arm=arm) for arm in settings.patterns)
    return {
        "PAGOS_SLOW_CARD_SECONDS": str(delay / 1000),
        "DUETO_HOP_SECONDS": str(settings.hop_ms / 1000),
        "DUETO_MONOLITH": str(int(_has_monolith(settings))),
    }


def _measure(
    stack: LocalStack,
    settings: Settings,
    known: Sequence[Measured],
    store: Store,
    folder: Path,
    say: Say,
) -> tuple[Cost, bool]:
    """What the stack uses at rest, and whether the run was stopped before its end."""
    planned = plan.windows(settings)
    say(f"at most {len(planned) - len(known)} windows to come")
    # A run that goes on has a new stack, and products of its own.
    with runner_on(stack=stack, name=str(settings.seed), folder=folder, say=say) as runner:
        at_rest = runner.measure_rest()
        try:
            runner.run(planned=planned, known=known, done=store.add)
        except KeyboardInterrupt:
            if not whole_blocks(measured=store.measured(), patterns=settings.patterns):
                raise
            say("stopped: what has been measured so far is drained, audited and shown")
            runner.drain()
            return at_rest, True
    return at_rest, False
