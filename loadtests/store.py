"""What a run has measured so far, in its folder: a window is there as soon as it has ended.

`settings.json`, `windows.jsonl` (a line a window, without its samples), `samples.csv`, `steps.csv`
and, of a full run, `outage.json`. A run that was stopped is shown from these, and goes on from
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadtests import samples, waterfall
from loadtests.cost import Cost
from loadtests.plan import Settings, Window
from loadtests.results import Measured
from loadtests.samples import Sample
from loadtests.waterfall import STEPS, Moments

SETTINGS, WINDOWS, SAMPLES = "settings.json", "windows.jsonl", "samples.csv"
OUTAGE = "outage.json"


class NotStored(Exception):
    """The folder holds no run, or one that this version can't read; the text says which."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    window: Window
    cost: Cost
    clock_step_ms: float
    has_rested: bool


class Store:
    """The folder of one run."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder

    def begin(self, *, settings: Settings) -> None:
        """Writes down what was asked for; makes the folder."""
        self.folder.mkdir(parents=True)
        (self.folder / SETTINGS).write_bytes(msgspec.json.encode(settings))

    def add(self, one: Measured) -> None:
        """Keeps a window. Its line comes last: without it, its samples count for nothing."""
        samples.append(path=self.folder / SAMPLES, samples=one.samples)
        waterfall.append(path=self.folder / STEPS, moments=one.moments)
        line = _Line(
            window=one.window,
            cost=one.cost,
            clock_step_ms=one.clock_step_ms,
            has_rested=one.has_rested,
        )
        with (self.folder / WINDOWS).open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")

    def keep(self, *, measured: Sequence[Measured]) -> None:
        """Drops all windows but these."""
        for name in (WINDOWS, SAMPLES, STEPS):
            (self.folder / name).unlink(missing_ok=True)
        for one in measured:
            self.add(one)

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

    def measured(self) -> list[Measured]:
        """The windows that have ended, in order. Raises NotStored."""
        path = self.folder / WINDOWS
        try:
            lines = path.read_bytes().splitlines() if path.exists() else []
            decoded = [msgspec.json.decode(line, type=_Line) for line in lines]
            by_window = self._samples()
            moments = self._moments()
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise NotStored(f"{path} can't be read: {error}") from error
        return [
            Measured(
                window=one.window,
                samples=by_window.get(one.window.number, []),
                cost=one.cost,
                clock_step_ms=one.clock_step_ms,
                has_rested=one.has_rested,
                moments=tuple(moments.get(one.window.number, ())),
            )
            for one in decoded
        ]

    def _samples(self) -> dict[int, list[Sample]]:
        found: dict[int, list[Sample]] = {}
        if (self.folder / SAMPLES).exists():
            for one in samples.read(path=self.folder / SAMPLES):
                found.setdefault(one.window, []).append(one)
        return found

    def _moments(self) -> dict[int, list[Moments]]:
        found: dict[int, list[Moments]] = {}
        if (self.folder / STEPS).exists():
            for one in waterfall.read(path=self.folder / STEPS):
                found.setdefault(one.window, []).append(one)
        return found


def whole_blocks(*, measured: Sequence[Measured], patterns: Sequence[str]) -> list[Measured]:
    """Those whose block has a window of each pattern: the others are measured again."""
    found: dict[int, set[str]] = {}
    for one in measured:
        found.setdefault(one.window.block, set()).add(one.window.pattern)
    return [one for one in measured if found[one.window.block] == set(patterns)]
