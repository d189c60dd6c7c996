"""Raw samples of a comparison, one a checkout, and what is computed from them: exactly.

Percentiles are of the samples themselves (nearest rank), not of a histogram.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.measuring import rows

ACCEPTED = 202
COMPLETED, FAILED, COMPENSATED = "completed", "failed", "compensated"
UNFINISHED = "unfinished"
"""Accepted, and not ended when the wait for it was over."""
TIMES = ("intended_at", "sent_at", "answered_at", "ended_at")
NOT_ACCEPTED = "not accepted"
"""Answered with anything but 202, or with nothing."""


class NotMeasured(Exception):
    """The run can't go on; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One checkout. Times are seconds since 1970; `ended_at` is 0 where it has not ended."""

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
        """From the intended start to the outcome; infinite while there is none."""
        return (self.ended_at - self.intended_at) * 1000 if self.ended_at else math.inf

    @property
    def acceptance_ms(self) -> float:
        """From the intended start to the answer; infinite while there is none."""
        return (self.answered_at - self.intended_at) * 1000 if self.answered_at else math.inf

    @property
    def lag_ms(self) -> float:
        """How late the generator itself was."""
        return (self.sent_at - self.intended_at) * 1000 if self.sent_at else math.inf


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

    All that was offered is in it, the start and the last stragglers too, so that no choice of an
    interval can flatter it. 0 where nothing completed.
    """
    ended = [one.ended_at for one in samples if one.ended_at]
    completed = sum(one.outcome == COMPLETED for one in samples)
    if not completed:
        return 0.0
    return completed / (max(ended) - min(one.intended_at for one in samples))


def write(*, path: Path, samples: Iterable[Sample]) -> None:
    """As CSV with a header line, in place of what was there."""
    path.unlink(missing_ok=True)
    append(path=path, samples=samples)


def append(*, path: Path, samples: Iterable[Sample]) -> None:
    """To what is there."""
    rows.append(path=path, kind=Sample, every=samples, times=TIMES)


def read(*, path: Path) -> list[Sample]:
    """What `write` and `append` have written."""
    return rows.read(path=path, kind=Sample)
