"""The audit of a running stack: asked for as anybody asks for it, by its command."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AUDIT_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `manage.py audit` found on the stack of this run, at its end."""

    is_clean: bool
    said: str


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
