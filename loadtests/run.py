"""A whole comparison, from nothing: an own fresh stack, its windows, the audit, the report."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtests import comparison, machine, plan, report
from loadtests.comparison import Audit, Comparison
from loadtests.cost import Meters
from loadtests.generator import Generator
from loadtests.outcomes import Outcomes
from loadtests.plan import Settings
from loadtests.runner import Run, Runner
from loadtests.shop import shop_of
from loadtests.supplies import Supplier
from loadtests.workload import Workload
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

REPORTS = STATE_FOLDER / "reports"
ROOT = Path(__file__).resolve().parent.parent
AUDIT_SECONDS = 120

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A comparison and where it was written."""

    comparison: Comparison
    report: Path


def run(*, settings: Settings, say: Say) -> Finished:
    """Everything, in two to three minutes with the usual settings; leaves only the report.

    Raises StackError, NotSupplied, GeneratorFailed or NotMeasured; KeyboardInterrupt on Ctrl-C.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    with LocalStack(fresh=True, free_ports=True, restarts=False, announce=say) as stack:
        environment = machine.describe(shop=shop_of(stack=stack), database=stack.database)
        with tempfile.TemporaryDirectory(prefix="dueto-compare-") as working:
            found = _measure(stack, settings, Path(working), say)
        say("auditing what the run has left in the services' tables")
        audit = run_audit(environment=stack.environment)
    compared = comparison.compare(
        run=found,
        settings=settings,
        environment=environment,
        audit=audit,
        made_at=now.isoformat(timespec="seconds"),
        seconds_taken=time.monotonic() - started,
        cores=os.cpu_count() or 1,
    )
    folder = REPORTS / f"{now:%Y-%m-%dT%H-%M-%SZ}-seed-{settings.seed}"
    folder.mkdir(parents=True)
    written = report.write(folder=folder, comparison=compared, measured=found.measured)
    return Finished(comparison=compared, report=written)


def run_audit(*, environment: Mapping[str, str]) -> Audit:
    """`manage.py audit` against the stack whose environment this is."""
    asked = subprocess.run(
        [sys.executable, "manage.py", "audit", "--json"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS,
        check=False,
    )
    return Audit(is_clean=asked.returncode == 0, said=(asked.stdout + asked.stderr).strip())


def _measure(stack: LocalStack, settings: Settings, folder: Path, say: Say) -> Run:
    shop = shop_of(stack=stack)
    planned = plan.windows(settings)
    say(f"{len(planned)} windows to come, {sum(one.seconds for one in planned):.0f} s of load")
    with contextlib.ExitStack() as closing:
        generator = closing.enter_context(Generator(host=shop.urls["carrito"], folder=folder))
        generator.wait_until_ready()
        outcomes = Outcomes(shop=shop)
        closing.callback(outcomes.close)
        meters = Meters(shop=shop, outcomes=outcomes, generator_pid=generator.pid)
        closing.callback(meters.close)
        runner = Runner(
            generator=generator,
            workload=Workload(supplier=Supplier(shop=shop, run=str(settings.seed))),
            outcomes=outcomes,
            meters=meters,
            folder=folder,
            say=say,
        )
        return runner.run(planned=planned)
