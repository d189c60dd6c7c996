"""A run as it lies in its folder: read with what is needed to draw it, and nothing else.

Fields that a run does not have (an older one, say) are empty, and what is drawn of them is left
out. A time that never came is None.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.drawing import words
from loadtests.evaluating.fitting import Law
from loadtests.evaluating.knee import Bounds
from loadtests.evaluating.results import Audit, CostPerCheckout, Counts
from loadtests.evaluating.verdicts import Interval
from loadtests.evaluating.waterfall import Waterfall
from loadtests.load.windows import Phase, Window
from loadtests.measuring import samples
from loadtests.measuring.cost import Cost
from loadtests.measuring.samples import Sample
from loadtests.outages import Outage

FIGURES, SAMPLES, OUTAGE = "report.json", "samples.csv", "outage.json"

T = TypeVar("T")


class NotARun(Exception):
    """The folder holds no stored run, or one that can't be read. The text is for people."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    patterns: list[str]
    seconds: float = 0.0
    rate: float = 0.0
    declined: float = 0.0
    scarce: float = 0.0
    seed: int = 0
    saga: str = words.CHECKOUT


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds; `windows`: the same three percentiles of each window."""

    p50: float | None
    p95: float | None
    p99: float | None
    windows: list[list[float | None]] = []

    def of(self, place: int) -> float | None:
        """p50, p95 or p99 by its place."""
        return (self.p50, self.p95, self.p99)[place]

    def of_windows(self, place: int) -> list[float | None]:
        return [window[place] for window in self.windows]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    phase: str
    pattern: str
    seconds: float = 0.0
    counts: Counts
    outcome: Times | None = None
    refused: Times | None = None
    compensated: Times | None = None
    acceptance: Times | None = None
    offered_per_second: list[float] = []
    completed_per_second: list[float] = []
    is_saturated: list[bool] = []
    harness_share: float | None = None
    """Of the CPU of all windows, that of the load generator and of measuring."""
    cost: CostPerCheckout

    @property
    def capacities(self) -> list[float]:
        """completed/s of the saturated windows: what it can do, not what it was asked for."""
        windows = zip(self.completed_per_second, self.is_saturated, strict=True)
        return [value for value, is_saturated in windows if is_saturated]


class WindowFacts(msgspec.Struct, frozen=True, kw_only=True):
    window: Window
    counts: Counts
    cost: Cost


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of a figure between two patterns: see evaluating.verdicts.

    `difference`: second less first, in `unit`. `ratio`: second over first.
    """

    figure: str
    unit: str = ""
    first: str = ""
    second: str = ""
    decision: str = "undecided"
    better: str = ""
    lower_is_better: bool = True
    values: dict[str, float | None] = {}
    difference: Interval | None = None
    ratio: Interval | None = None
    confidence: float = 0.0
    blocks: int = 0
    why: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A load, offered a second, and whether it could go on for good: see evaluating.knee."""

    offered: float
    p50_ms: float
    p99_ms: float
    is_sustained: bool
    in_flight: float = 0.0
    lag_p99_ms: float | None = None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """`knee`: a second; None where nothing could go on for good.

    `knee_between`: its interval; None in a run from before there was one, whose knee is the last
    level before the first that most windows did not sustain.
    """

    pattern: str
    knee: float | None = None
    knee_between: Bounds | None = None
    levels: list[Level] = []
    law: Law | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a run, as report.json has them."""

    made_at: str
    settings: Settings
    figures: list[Figures]
    seconds_taken: float = 0.0
    environment: dict[str, str] = {}
    windows: list[WindowFacts] = []
    at_rest_ms_per_second: float = 0.0
    verdicts: list[Verdict] = []
    doubts: list[str] = []
    audit: Audit
    was_stopped: bool = False
    """Before its end; what it has by then is shown."""
    waterfalls: list[Waterfall] = []
    capacities: list[Capacity] = []

    @property
    def patterns(self) -> list[str]:
        return self.settings.patterns

    def of(self, phase: Phase) -> list[Figures]:
        """One phase's figures, in the order of the patterns; empty where the run had none."""
        found = {figure.pattern: figure for figure in self.figures if figure.phase == phase}
        return [found[pattern] for pattern in self.patterns if pattern in found]


def read(*, folder: Path) -> Run:
    """The figures of a stored run. Raises NotARun."""
    return _decoded(folder / FIGURES, Run)


def read_outage(*, folder: Path) -> list[Outage]:
    """What `manage.py outage --json` has written into the folder; empty if nothing. Raises NotARun.

    One that its audit found wrong is none.
    """
    if not (folder / OUTAGE).exists():
        return []
    found = _decoded(folder / OUTAGE, _Outages)
    return found.outages if found.audit.is_clean else []


class _Outages(msgspec.Struct, frozen=True, kw_only=True):
    outages: list[Outage]
    audit: Audit


def read_samples(*, folder: Path) -> list[Sample]:
    """Its raw samples. Raises NotARun."""
    try:
        return samples.read(path=folder / SAMPLES, kind=Sample)
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise NotARun(f"{folder / SAMPLES} can't be read: {error}") from error


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise NotARun(f"{path.parent} is no stored run: it has no {path.name}") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NotARun(f"{path} can't be read as a run: {error}") from error
