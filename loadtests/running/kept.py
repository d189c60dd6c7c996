"""The windows that were measured so far, in a folder: each is there as soon as it has ended.

`windows.jsonl` (a line a window, without its samples), `samples.csv` and `steps.csv`. What was
stopped is shown from these, and goes on from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.evaluating.results import Measured
from loadtests.load.windows import Window
from loadtests.measuring import moments, samples
from loadtests.measuring.cost import Cost
from loadtests.measuring.moments import STEPS, Moments
from loadtests.measuring.samples import Sample

T = TypeVar("T", Sample, Moments)

WINDOWS, SAMPLES = "windows.jsonl", "samples.csv"


class NotStored(Exception):
    """The folder holds no windows, or such that this version can't read; the text says which."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    window: Window
    cost: Cost
    clock_step_ms: float
    has_rested: bool


class Kept:
    """The windows of one stack, in its folder."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder

    def add(self, one: Measured) -> None:
        """Keeps a window. Its line comes last: without it, its samples count for nothing."""
        samples.append(path=self.folder / SAMPLES, samples=one.samples)
        moments.append(path=self.folder / STEPS, moments=one.moments)
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

    def measured(self) -> list[Measured]:
        """The windows that have ended, in order. Raises NotStored."""
        path = self.folder / WINDOWS
        try:
            lines = path.read_bytes().splitlines() if path.exists() else []
            decoded = [msgspec.json.decode(line, type=_Line) for line in lines]
            by_window = self._samples()
            steps = self._moments()
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise NotStored(f"{path} can't be read: {error}") from error
        return [
            Measured(
                window=one.window,
                samples=by_window.get(one.window.number, []),
                cost=one.cost,
                clock_step_ms=one.clock_step_ms,
                has_rested=one.has_rested,
                moments=tuple(steps.get(one.window.number, ())),
            )
            for one in decoded
        ]

    def _samples(self) -> dict[int, list[Sample]]:
        path = self.folder / SAMPLES
        return _by_window(samples.read(path=path) if path.exists() else [])

    def _moments(self) -> dict[int, list[Moments]]:
        path = self.folder / STEPS
        return _by_window(moments.read(path=path) if path.exists() else [])


def whole_blocks(*, measured: Sequence[Measured], patterns: Sequence[str]) -> list[Measured]:
    """Those whose block has a window of each pattern: the others are measured again."""
    found: dict[int, set[str]] = {}
    for one in measured:
        found.setdefault(one.window.block, set()).add(one.window.pattern)
    return [one for one in measured if found[one.window.block] == set(patterns)]


def _by_window(every: Iterable[T]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = {}
    for one in every:
        found.setdefault(one.window, []).append(one)
    return found
