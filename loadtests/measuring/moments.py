"""When a step of a saga was asked for, picked up and decided: one line of CSV a step."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtests.measuring import rows

STEPS = "steps.csv"
TIMES = ("asked_at", "picked_up_at", "decided_at")


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A step of a saga that completed; times are seconds since 1970.

    `asked_at` of the acceptance is the intended start; `decided_at` of the last step the outcome.
    `attempts`: how often it was asked for.
    """

    window: int
    pattern: str
    saga_id: str
    step: str
    asked_at: float
    picked_up_at: float
    decided_at: float
    attempts: int


def write(*, path: Path, moments: Iterable[Moments]) -> None:
    """As CSV with a header line, one line a step."""
    path.unlink(missing_ok=True)
    append(path=path, moments=moments)


def append(*, path: Path, moments: Iterable[Moments]) -> None:
    """To what is there."""
    rows.append(path=path, kind=Moments, every=moments, times=TIMES)


def read(*, path: Path) -> list[Moments]:
    """What `write` and `append` have written."""
    return rows.read(path=path, kind=Moments)
