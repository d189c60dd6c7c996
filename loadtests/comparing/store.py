"""The folder of a run: what was asked for, its windows, its outage, and what it comes to.

`settings.json`, the windows that have ended (running/kept.py) and, of a full run, `outage.json`. A
run that was stopped is shown from these, and goes on from them. In the end there are every figure
as JSON, every sample as CSV, and their page.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from loadtests.comparing.comparison import Comparison
from loadtests.comparing.plan import Settings
from loadtests.drawing import page
from loadtests.drawing.stored import FIGURES, OUTAGE, SAMPLES
from loadtests.evaluating.results import Measured
from loadtests.measuring import samples
from loadtests.measuring.samples import Moments, Sample
from loadtests.running.kept import STEPS, Kept, NotStored
from loadtests.running.rig import Audit

SETTINGS = "settings.json"


class Store(Kept):
    """The folder of one run."""

    def begin(self, *, settings: Settings) -> None:
        """Writes down what was asked for; makes the folder."""
        self.folder.mkdir(parents=True)
        (self.folder / SETTINGS).write_bytes(msgspec.json.encode(settings))

    def has_outage(self) -> bool:
        return (self.folder / OUTAGE).exists()

    def keep_outage(self, *, figures: Mapping[str, Any]) -> None:
        """Beside the windows, to be drawn with them."""
        (self.folder / OUTAGE).write_bytes(msgspec.json.format(msgspec.json.encode(figures)))

    def settings(self) -> Settings:
        """Raises NotStored."""
        try:
            return msgspec.json.decode((self.folder / SETTINGS).read_bytes(), type=Settings)
        except (OSError, msgspec.MsgspecError) as error:
            raise NotStored(f"{self.folder} holds no run that could be read: {error}") from error

    def audit(self) -> Audit | None:
        """What the audit said of the run; None if it has not come to that."""
        try:
            return msgspec.json.decode((self.folder / FIGURES).read_bytes(), type=_Audited).audit
        except FileNotFoundError:
            return None

    def show(self, *, comparison: Comparison, measured: Sequence[Measured]) -> Path:
        """Writes report.json, samples.csv, steps.csv and the page drawn of them; returns it."""
        every = [sample for one in measured for sample in one.samples]
        samples.write(path=self.folder / SAMPLES, kind=Sample, every=every)
        steps = [moment for one in measured for moment in one.moments]
        samples.write(path=self.folder / STEPS, kind=Moments, every=steps)
        (self.folder / FIGURES).write_bytes(as_json(comparison=comparison))
        return page.draw(folder=self.folder)


class _Audited(msgspec.Struct):
    audit: Audit


def as_json(*, comparison: Comparison) -> bytes:
    """Every figure of the comparison; an infinite time is null."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"
