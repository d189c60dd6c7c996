"""A run while it lasts, and what it comes to."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from loadtests.comparing import comparison, report
from loadtests.comparing.comparison import Comparison
from loadtests.comparing.plan import Settings
from loadtests.comparing.store import Store
from loadtests.measuring.cost import Cost
from loadtests.running.auditing import Audit, run_audit
from loadtests.running.kept import whole_blocks
from loadtests.running.runner import Say
from stack.local import LocalStack


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A comparison and where it was written."""

    comparison: Comparison
    report: Path
    at_rest: Cost
    """Of the stack that it was made on."""


@dataclass(frozen=True, kw_only=True)
class Ongoing:
    """A run on its stack: what each of its parts needs. `working`: for files while it lasts."""

    stack: LocalStack
    settings: Settings
    store: Store
    working: Path
    say: Say
    environment: dict[str, str]
    began: float
    made_at: str

    def audit(self, *, wait_seconds: float = 0.0) -> Audit:
        self.say("auditing what the run has left in the services' tables")
        return run_audit(environment=self.stack.environment, wait_seconds=wait_seconds)

    def finished(
        self,
        *,
        at_rest: Cost,
        was_stopped: bool,
        wait_seconds: float = 0.0,
        audit: Audit | None = None,
    ) -> Finished:
        """All that was measured until now, audited (unless it was), compared and written."""
        measured = whole_blocks(measured=self.store.measured(), patterns=self.settings.patterns)
        compared = comparison.compare(
            measured=measured,
            at_rest=at_rest,
            settings=self.settings,
            environment=self.environment,
            audit=audit or self.audit(wait_seconds=wait_seconds),
            made_at=self.made_at,
            seconds_taken=time.monotonic() - self.began,
            cores=os.cpu_count() or 1,
            was_stopped=was_stopped,
        )
        written = report.write(folder=self.store.folder, comparison=compared, measured=measured)
        return Finished(comparison=compared, report=written, at_rest=at_rest)
