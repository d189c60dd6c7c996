"""What a comparison leaves: every figure as JSON, every sample as CSV, and their page."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadtests.comparing.comparison import Comparison
from loadtests.drawing import page
from loadtests.drawing.stored import FIGURES, SAMPLES
from loadtests.evaluating.results import Measured
from loadtests.measuring import moments, samples
from loadtests.running.auditing import Audit


def write(*, folder: Path, comparison: Comparison, measured: Sequence[Measured]) -> Path:
    """Writes report.json, samples.csv, steps.csv and the page drawn of them; returns the page."""
    every = [sample for one in measured for sample in one.samples]
    samples.write(path=folder / SAMPLES, samples=every)
    steps = [moment for one in measured for moment in one.moments]
    moments.write(path=folder / moments.STEPS, moments=steps)
    (folder / FIGURES).write_bytes(as_json(comparison=comparison))
    return page.draw(folder=folder)


def audit_of(*, folder: Path) -> Audit | None:
    """What the audit said of the run in this folder; None if it has not come to that."""
    try:
        found = msgspec.json.decode((folder / FIGURES).read_bytes(), type=_Audited)
    except FileNotFoundError:
        return None
    return found.audit


class _Audited(msgspec.Struct):
    audit: Audit


def as_json(*, comparison: Comparison) -> bytes:
    """Every figure of the comparison; an infinite time is null."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"
