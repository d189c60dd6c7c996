"""A scrape of /metrics, and the check by Prometheus' own tool."""

import re
import subprocess
from pathlib import Path

from tests.installed import need

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def samples(text, *, service):
    """Value by series, with the label that Prometheus adds to what it scrapes of this service."""
    more = f'job="dueto",service="{service}"'
    return {
        f"{name}{{{','.join(filter(None, [labels, more]))}}}": float(value)
        for name, labels, value in _SAMPLE.findall(text)
    }


def promtool(*arguments, **options):
    """The exit status, and the output. Skips, and fails in CI, where it is not installed."""
    command = need("promtool", package="prometheus")
    run = subprocess.run(
        [command, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )
    return run.returncode, run.stdout + run.stderr


RULES = Path(__file__).resolve().parents[3] / "observe" / "alerts.yml"
