"""A run in its folder: its settings, each window as soon as it has ended, its result.

`settings.json`; `windows.jsonl` (a line per window, without samples), `samples.csv` and
`steps.csv`; of a full run also `outage.json`. A stopped run is shown and resumed from these. The
result is `report.json` with every figure, and the page drawn from all files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from loadtests.drawing import page
from loadtests.drawing.stored import FIGURES, OUTAGE, SAMPLES
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Audit, Measured
from loadtests.load.plan import RunSettings
from loadtests.measuring import samples
from loadtests.measuring.samples import Moments, Sample

T = TypeVar("T", Sample, Moments)

SETTINGS, WINDOWS, STEPS = "settings.json", "windows.jsonl", "steps.csv"


class NoStoredRun(Exception):
    """The folder has no run, or this version can't read it; the text says which."""


class StoredWindows:
    """The windows of one stack, in its folder."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder

    def add(self, window: Measured) -> None:
        """Stores a window. Its line is written last: samples without one are ignored."""
        samples.append(path=self.folder / SAMPLES, kind=Sample, every=window.samples)
        samples.append(path=self.folder / STEPS, kind=Moments, every=window.moments)
        with (self.folder / WINDOWS).open("ab") as file:
            file.write(msgspec.json.encode(replace(window, samples=(), moments=())) + b"\n")

    def keep(self, *, measured: Sequence[Measured]) -> None:
        """Drops all windows but these."""
        for name in (WINDOWS, SAMPLES, STEPS):
            (self.folder / name).unlink(missing_ok=True)
        for window in measured:
            self.add(window)

    def measured(self) -> list[Measured]:
        """The windows that have ended, in order. Raises NoStoredRun."""
        path = self.folder / WINDOWS
        try:
            lines = path.read_bytes().splitlines() if path.exists() else []
            decoded = [msgspec.json.decode(line, type=Measured) for line in lines]
            found, steps = self._by_window(SAMPLES, Sample), self._by_window(STEPS, Moments)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise NoStoredRun(f"{path} can't be read: {error}") from error
        return [
            replace(
                measured,
                samples=found.get(measured.window.number, []),
                moments=tuple(steps.get(measured.window.number, ())),
            )
            for measured in decoded
        ]

    def _by_window(self, name: str, kind: type[T]) -> dict[int, list[T]]:
        path = self.folder / name
        found: dict[int, list[T]] = {}
        for row in samples.read(path=path, kind=kind) if path.exists() else ():
            found.setdefault(row.window, []).append(row)
        return found


def whole_blocks(*, measured: Sequence[Measured], patterns: Sequence[str]) -> list[Measured]:
    """The windows whose block has one of each pattern; the others have to be measured again."""
    found: dict[int, set[str]] = {}
    for window in measured:
        found.setdefault(window.window.block, set()).add(window.pattern)
    return [window for window in measured if found[window.window.block] == set(patterns)]


class Store(StoredWindows):
    """The folder of one run."""

    def begin(self, *, settings: RunSettings) -> None:
        """Makes the folder, and stores the settings."""
        self.folder.mkdir(parents=True)
        (self.folder / SETTINGS).write_bytes(msgspec.json.encode(settings))

    def has_outage(self) -> bool:
        return (self.folder / OUTAGE).exists()

    def keep_outage(self, *, figures: Mapping[str, Any]) -> None:
        """Stores an outage, which is drawn with the windows."""
        (self.folder / OUTAGE).write_bytes(msgspec.json.format(msgspec.json.encode(figures)))

    def settings(self) -> RunSettings:
        """Raises NoStoredRun."""
        try:
            return msgspec.json.decode((self.folder / SETTINGS).read_bytes(), type=RunSettings)
        except (OSError, msgspec.MsgspecError) as error:
            raise NoStoredRun(f"{self.folder} has no run that can be read: {error}") from error

    def audit(self) -> Audit | None:
        """The run's audit; None if there was none yet."""
        try:
            return msgspec.json.decode((self.folder / FIGURES).read_bytes(), type=_Audited).audit
        except FileNotFoundError:
            return None

    def show(self, *, comparison: Comparison, measured: Sequence[Measured]) -> Path:
        """Writes report.json, samples.csv, steps.csv and the page; returns the page's path."""
        every = [sample for window in measured for sample in window.samples]
        samples.write(path=self.folder / SAMPLES, kind=Sample, every=every)
        steps = [moment for window in measured for moment in window.moments]
        samples.write(path=self.folder / STEPS, kind=Moments, every=steps)
        (self.folder / FIGURES).write_bytes(as_json(comparison))
        return page.draw(folder=self.folder)


class _Audited(msgspec.Struct):
    audit: Audit


def as_json(result: object) -> bytes:
    """Every figure of a result; an infinite time is null."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
