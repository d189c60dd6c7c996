"""Measurements of sagas as data and as CSV (a sample per saga, and for some the moments of each
step), and figures computed from samples.

Percentiles are exact: of the samples themselves (nearest rank), not of a histogram.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ACCEPTED = 202
COMPLETED, FAILED, COMPENSATED = "completed", "failed", "compensated"
UNFINISHED = "unfinished"
"""Accepted, but not ended within the time allowed."""
NOT_ACCEPTED = "not accepted"
"""Without an answer, or with any but a 202."""


class NotMeasured(Exception):
    """The run can't continue; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One saga. Times are seconds since 1970; `ended_at` is 0 if it has not ended."""

    window: int
    phase: str
    pattern: str
    intended_at: float
    sent_at: float
    answered_at: float
    http_status: int
    saga_id: str
    outcome: str
    ended_at: float
    error: str

    @property
    def latency_ms(self) -> float:
        """From the intended start to the outcome; infinite without one."""
        return (self.ended_at - self.intended_at) * 1000 if self.ended_at else math.inf

    @property
    def acceptance_ms(self) -> float:
        """From the intended start to the answer; infinite without one."""
        return (self.answered_at - self.intended_at) * 1000 if self.answered_at else math.inf

    @property
    def lag_ms(self) -> float:
        """How late the generator itself was."""
        return (self.sent_at - self.intended_at) * 1000 if self.sent_at else math.inf


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A step of a completed saga; times are seconds since 1970.

    `asked_at` of the acceptance is the intended start; `decided_at` of the last step is the
    outcome. `attempts`: how often the step was asked for.
    """

    window: int
    pattern: str
    saga_id: str
    step: str
    asked_at: float
    picked_up_at: float
    decided_at: float
    attempts: int


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed.

    Nearest rank (Hyndman and Fan's definition 1). Raises ValueError without values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no percentile of nothing")
    # The tolerance keeps 0.95 * 20 = 19.000000000000004 from becoming rank 20.
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


def completed_per_second(samples: Sequence[Sample]) -> float:
    """Completed checkouts over the time from the first intended start to the last outcome.

    It includes the start and the last stragglers, so that no choice of an interval can flatter it.
    0 if nothing completed.
    """
    ended = [sample.ended_at for sample in samples if sample.ended_at]
    completed = sum(sample.outcome == COMPLETED for sample in samples)
    if not completed:
        return 0.0
    return completed / (max(ended) - min(sample.intended_at for sample in samples))


def completed_while_offered(samples: Sequence[Sample], *, seconds: float) -> float:
    """Completed per second in the second half of the `seconds` in which checkouts were sent: what a
    pattern does while the load lasts.
    """
    start = min(sample.intended_at for sample in samples)
    half = seconds / 2
    ended = [sample.ended_at - start for sample in samples if sample.outcome == COMPLETED]
    return sum(half <= at <= seconds for at in ended) / half


def write(*, path: Path, kind: type[T], every: Iterable[T]) -> None:
    """Writes these dataclass objects as CSV with a header line; replaces the file."""
    path.unlink(missing_ok=True)
    append(path=path, kind=kind, every=every)


def append(*, path: Path, kind: type[T], every: Iterable[T]) -> None:
    """Like `write`, but appends to the file. Times (`..._at`) have microseconds."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(names)
        for row in every:
            values = ((name, getattr(row, name)) for name in names)
            writer.writerow(
                f"{value:.6f}" if name.endswith("_at") else plain(value) for name, value in values
            )


def plain(value: Any) -> Any:
    """The value as a cell; text that a spreadsheet would take for a formula gets a leading
    apostrophe.
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in _OF_FORMULAS else value


def _read(cell: str) -> str:
    """The inverse of `plain`."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _OF_FORMULAS else cell


_OF_FORMULAS = frozenset("=+-@\t\r")


def read(*, path: Path, kind: type[T]) -> list[T]:
    """What `append` has written. Raises OSError, TypeError, ValueError or KeyError."""
    types: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    with path.open(newline="") as file:
        return [
            kind(**{name: types[name](_read(value)) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]
