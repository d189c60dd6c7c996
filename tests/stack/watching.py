"""Checks whether processes have ended, and starts Python processes that report."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from stack import children

ROOT = Path(__file__).resolve().parents[2]


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    return children.identify(pid) is None


def all_gone(pids: list[int]) -> bool:
    return all(is_gone(pid) for pid in pids)


def run_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process in the clone that reports over its output."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
