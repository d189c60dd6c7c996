"""The windows that were measured so far, in a folder: each is there as soon as it has ended.

`windows.jsonl` (a line a window, without its samples), `samples.csv` and `steps.csv`. What was
stopped is shown from these, and goes on from them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.evaluating.results import Measured
from loadtests.measuring import samples
from loadtests.measuring.samples import Moments, Sample

T = TypeVar("T", Sample, Moments)

WINDOWS, SAMPLES, STEPS = "windows.jsonl", "samples.csv", "steps.csv"


class NotStored(Exception):
    """The folder holds no windows, or such that this version can't read; the text says which."""


class Kept:
    """The windows of one stack, in its folder."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder

    def add(self, one: Measured) -> None:
        """Keeps a window. Its line comes last: without it, its samples count for nothing."""
        samples.append(path=self.folder / SAMPLES, kind=Sample, every=one.samples)
        samples.append(path=self.folder / STEPS, kind=Moments, every=one.moments)
        with (self.folder / WINDOWS).open("ab") as file:
            file.write(msgspec.json.encode(replace(one, samples=(), moments=())) + b"\n")

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
            decoded = [msgspec.json.decode(line, type=Measured) for line in lines]
            found, steps = self._by_window(SAMPLES, Sample), self._by_window(STEPS, Moments)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise NotStored(f"{path} can't be read: {error}") from error
        return [
            replace(
                one,
                samples=found.get(one.window.number, []),
                moments=tuple(steps.get(one.window.number, ())),
            )
            for one in decoded
        ]

    def _by_window(self, name: str, kind: type[T]) -> dict[int, list[T]]:
        path = self.folder / name
        found: dict[int, list[T]] = {}
        for one in samples.read(path=path, kind=kind) if path.exists() else ():
            found.setdefault(one.window, []).append(one)
        return found


def whole_blocks(*, measured: Sequence[Measured], patterns: Sequence[str]) -> list[Measured]:
    """Those whose block has a window of each pattern: the others are measured again."""
    found: dict[int, set[str]] = {}
    for one in measured:
        found.setdefault(one.window.block, set()).add(one.window.pattern)
    return [one for one in measured if found[one.window.block] == set(patterns)]
