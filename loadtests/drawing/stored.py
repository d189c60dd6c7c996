"""A run as it lies in its folder: read with what is needed to draw it, and nothing else.

Fields that a run does not have (an older one, say) are empty, and what is drawn of them is left
out. A time that never came is None.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.drawing import words
from loadtests.drawing.conclusions import Capacity, Outage, Verdict, Waterfall
from loadtests.measuring import samples
from loadtests.measuring.samples import Sample

LIGHT, FULL, FAILURES = "light", "full", "failures"
LEVELS, HOT, ZIPF, PAUSE = "levels", "hot", "zipf", "pause"
FIGURES, SAMPLES, OUTAGE = "report.json", "samples.csv", "outage.json"
NO_PART_OF_THE_SHOP = frozenset({"load generator", "measuring"})

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


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    offered: int = 0
    accepted: int = 0
    completed: int = 0
    refused: int = 0
    compensated: int = 0
    unfinished: int = 0
    not_accepted: int = 0


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
        return [one[place] for one in self.windows]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of one checkout. CPU in ms, by process (`service.web`, `service.worker`, or a server)."""

    cpu_ms: dict[str, float] = {}
    shop_cpu_ms: float = 0.0
    generator_cpu_ms: float = 0.0
    writes: float = 0.0
    wal_bytes: float = 0.0
    messages: float = 0.0
    http_calls: float = 0.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    phase: str
    pattern: str
    windows: int = 0
    seconds: float = 0.0
    counts: Counts = Counts()
    outcome: Times | None = None
    refused: Times | None = None
    compensated: Times | None = None
    acceptance: Times | None = None
    offered_per_second: list[float] = []
    completed_per_second: list[float] = []
    is_saturated: list[bool] = []
    lag_p99_ms: float | None = None
    generator_busy_share: float = 0.0
    harness_share: float | None = None
    """Of the CPU of all windows, that of the load generator and of measuring."""
    cost: Cost = Cost()


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """`zipf`: the exponent of how popular products are."""

    zipf: float = 0.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    phase: str
    pattern: str
    rate: float = 0.0
    seconds: float = 0.0
    pause_seconds: float = 0.0
    mix: Mix = Mix()


class WindowCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole window used up. CPU in ms by process."""

    cpu_ms: dict[str, float] = {}
    wal_bytes: float = 0.0
    messages: float = 0.0
    http_calls: float = 0.0

    @property
    def shop_cpu_ms(self) -> float:
        """Without the load generator and the command that measures."""
        return sum(ms for name, ms in self.cpu_ms.items() if name not in NO_PART_OF_THE_SHOP)


class WindowFacts(msgspec.Struct, frozen=True, kw_only=True):
    window: Window
    counts: Counts = Counts()
    cost: WindowCost = WindowCost()


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    is_clean: bool = False
    said: str = ""


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
    audit: Audit = Audit()
    was_stopped: bool = False
    """Before its end; what it has by then is shown."""
    waterfalls: list[Waterfall] = []
    capacities: list[Capacity] = []

    @property
    def patterns(self) -> list[str]:
        return self.settings.patterns

    def of(self, phase: str) -> list[Figures]:
        """One phase's figures, in the order of the patterns; empty where the run had none."""
        found = {one.pattern: one for one in self.figures if one.phase == phase}
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
