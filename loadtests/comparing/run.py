"""A whole comparison, from nothing: an own fresh stack, its windows, the audit, the report."""

import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from contracts.catalogue.checkout import PADDED, PADDING
from loadtests.comparing import closing_outage, plan, report
from loadtests.comparing.ongoing import Finished, Ongoing
from loadtests.comparing.plan import Settings
from loadtests.comparing.store import Store
from loadtests.evaluating.results import Measured
from loadtests.load import shopper
from loadtests.measuring import machine
from loadtests.measuring.cost import Cost
from loadtests.outages import experiment
from loadtests.running import remaining
from loadtests.running.kept import NotStored, whole_blocks
from loadtests.running.rig import own_stack, runner_on
from loadtests.running.runner import Say
from loadtests.shop import CHECKOUT, OWN_STEPS, page, shop_of
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

REPORTS = STATE_FOLDER / "reports"
SETTLE_SECONDS = 60.0
"""For what was on its way when a run was stopped in its outage."""


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
    with (
        own_stack(
            variables=_variables(settings),
            say=say,
            has_one_database=_has_monolith(settings),
            saga=settings.saga,
        ) as stack,
        tempfile.TemporaryDirectory(prefix="dueto-compare-") as working,
    ):
        made = Ongoing(
            stack=stack,
            settings=settings,
            store=Store(folder=folder),
            working=Path(working),
            say=say,
            environment=_environment(stack, settings),
            began=started,
            made_at=now.isoformat(timespec="seconds"),
        )
        at_rest, was_stopped = _measure(made, known)
        finished = made.finished(at_rest=at_rest, was_stopped=was_stopped)
        if was_stopped or not finished.comparison.audit.is_clean:
            return finished
        return _with_outage(made, finished)


def _with_outage(made: Ongoing, finished: Finished) -> Finished:
    """The same with the outage of a full run; what was there before is kept if that fails."""
    planned = closing_outage.settings_of(settings=made.settings)
    if planned is None or made.store.has_outage():
        return finished
    at_rest = finished.at_rest
    try:
        found = experiment.outages(
            stack=made.stack, settings=planned, folder=made.working, say=made.say
        )
    except KeyboardInterrupt:
        made.say("stopped: the outage is left out, and what was measured before it shown")
        return made.finished(at_rest=at_rest, was_stopped=True, wait_seconds=SETTLE_SECONDS)
    audit = made.audit()
    ended = experiment.Finished(settings=planned, outages=found, audit=audit)
    made.store.keep_outage(figures=experiment.as_figures(finished=ended))
    return made.finished(at_rest=at_rest, was_stopped=False, audit=audit)


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
    if not plan.holds(known=[one.window for one in known], settings=settings):
        raise NotStored(
            f"{folder}: another version of Dueto began it, with another plan: it can be shown"
            " (--report), but not gone on with"
        )
    store.keep(measured=known)
    return run(settings=settings, folder=folder, known=known, say=say)


def _environment(stack: LocalStack, settings: Settings) -> dict[str, str]:
    return {
        **machine.describe(shop=shop_of(stack=stack), database=stack.database),
        **_saga(settings),
        **_distance(settings),
        **_popularity(settings),
        **_length(settings),
        **_databases(settings),
    }


def _saga(settings: Settings) -> dict[str, str]:
    if settings.saga == CHECKOUT:
        return {}
    steps = page(saga=settings.saga).steps[1:]
    return {"saga": f"{settings.saga}: " + ", ".join(one.name for one in steps)}


def _distance(settings: Settings) -> dict[str, str]:
    if not settings.hop_ms:
        return {}
    return {
        "distance": f"services and broker are put {settings.hop_ms:g} ms further apart, one way"
    }


def _popularity(settings: Settings) -> dict[str, str]:
    if not settings.zipf:
        return {}
    return {
        "products": f"the n-th most popular is wanted as often as 1 / n^{settings.zipf:g} (Zipf)"
    }


def _length(settings: Settings) -> dict[str, str]:
    if not settings.extra_steps:
        return {}
    added = ", ".join(PADDED[: settings.extra_steps])
    floor = "; the monolith takes none of these" if _has_monolith(settings) else ""
    return {
        "steps": f"{settings.steps} after the acceptance: the checkout's own {OWN_STEPS}, and"
        f" {settings.extra_steps} more that change nothing ({added}){floor}"
    }


def _has_monolith(settings: Settings) -> bool:
    return shopper.MONOLITH in [shopper.pattern_of(arm=arm) for arm in settings.patterns]


def _databases(settings: Settings) -> dict[str, str]:
    if not _has_monolith(settings):
        return {}
    return {
        "databases": "one for all services, because of the monolith: the same checkout in one local"
        " transaction, without a saga; no pattern of the shop, but what distribution costs"
    }


def _variables(settings: Settings) -> dict[str, str]:
    """What the services are told for this run."""
    delay = max(shopper.delay_ms_of(arm=arm) for arm in settings.patterns)
    return {
        "PAGOS_SLOW_CARD_SECONDS": str(delay / 1000),
        "DUETO_HOP_SECONDS": str(settings.hop_ms / 1000),
        PADDING: str(settings.extra_steps),
        "DUETO_MONOLITH": str(int(_has_monolith(settings))),
    }


def _measure(run: Ongoing, known: Sequence[Measured]) -> tuple[Cost, bool]:
    """What the stack uses at rest, and whether the run was stopped before its end."""
    planned = plan.windows(run.settings)
    with runner_on(
        stack=run.stack,
        # A run that goes on has a new stack, and products of its own.
        name=str(run.settings.seed),
        folder=run.working,
        say=run.say,
        seconds_after=_seconds_after(run),
        saga=run.settings.saga,
    ) as runner:
        run.environment["load generator"] = runner.scheduling
        at_rest = runner.measure_rest()
        try:
            runner.run(planned=planned, known=known, done=run.store.add)
        except KeyboardInterrupt:
            if not whole_blocks(measured=run.store.measured(), patterns=run.settings.patterns):
                raise
            run.say("stopped: what has been measured so far is drained, audited and shown")
            runner.close()
            return at_rest, True
    return at_rest, False


def _seconds_after(run: Ongoing) -> float:
    """What comes after the windows."""
    if not run.settings.is_full:
        return remaining.AUDIT_SECONDS
    if run.store.has_outage():
        return remaining.FULL_AUDIT_SECONDS / 2
    return remaining.FULL_AUDIT_SECONDS + closing_outage.seconds_of(settings=run.settings)
