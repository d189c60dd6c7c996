"""The figures of the report that can be named: of one pattern, with an interval from its windows.

An interval is made like that of a decision (verdicts.py), at 95 %, from the logarithms of the
windows, and put around the figure of all windows. In simulated runs of 8 to 20 windows that lay 5
to 30 % apart it contained the true p50 in 94 to 97 of 100 and the true p95 in 84 to 96, but the
true p99 of windows with 12 checkouts only in 70 to 78.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, isnan, log
from statistics import median

from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import CostPerCheckout, Counts, Figures, Times
from loadtests.evaluating.verdicts import LEAST_BLOCKS, Interval, interval_of_mean
from loadtests.load.windows import WindowPhase
from loadtests.measuring.cost import Cost

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure of one pattern in one run. `value`: infinite if the outcome never came.

    `windows`: the same for each window. `interval`: None if none can be made. `is_least`: the
    pattern was never saturated, so the true value is higher.
    """

    value: float
    windows: Sequence[float] = ()
    interval: Interval | None = None
    is_least: bool = False


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A figure that can be named. `read`: of a pattern; None if the run has not measured it."""

    unit: str
    about: str
    read: Callable[[Comparison, str], Measurement | None]


def _percentile(
    phase: WindowPhase, attribute: str, place: int
) -> Callable[[Comparison, str], Measurement | None]:
    """`attribute`: the field of Figures with the Times; `place`: the percentile's in SHARES."""

    def read(run: Comparison, pattern: str) -> Measurement | None:
        figures = _figures(run, phase, pattern)
        times: Times | None = getattr(figures, attribute) if figures else None
        if times is None:
            return None
        windows = [_or_never(value) for value in times.of_windows(place)]
        return _measured(_or_never(times.of(place)), windows)

    return read


def _completed_at(phase: WindowPhase, about: str) -> Quantity:
    def read(run: Comparison, pattern: str) -> Measurement | None:
        found = next(
            (
                pressure
                for pressure in run.pressures
                if (pressure.phase, pressure.pattern) == (phase, pattern)
            ),
            None,
        )
        return Measurement(value=found.completed) if found else None

    return Quantity(unit="/s", about=f"completed, {about}", read=read)


def _completed(run: Comparison, pattern: str) -> Measurement | None:
    figures = _figures(run, WindowPhase.FULL, pattern)
    if figures is None:
        return None
    if not figures.capacities:
        return Measurement(value=max(figures.completed_per_second), is_least=True)
    return _measured(median(figures.capacities), figures.capacities)


def _knee(run: Comparison, pattern: str) -> Measurement | None:
    found = next(
        (
            capacity
            for capacity in run.capacities
            if capacity.pattern == pattern and capacity.levels
        ),
        None,
    )
    if found is None:
        return None
    value, between = found.knee or 0.0, found.knee_between
    if between is None:
        return Measurement(value=value)
    high = inf if between.high is None else between.high
    return Measurement(value=value, interval=Interval(estimate=value, low=between.low, high=high))


def _cost(
    unit: str,
    about: str,
    of: Callable[[Cost | CostPerCheckout], float],
    phase: WindowPhase = WindowPhase.FULL,
) -> Quantity:
    def read(run: Comparison, pattern: str) -> Measurement | None:
        figures = _figures(run, phase, pattern)
        if figures is None or isnan(of(figures.cost)):
            return None
        windows = [
            of(facts.cost) / max(facts.counts.accepted, 1)
            for facts in run.windows
            if (facts.window.phase, facts.window.pattern) == (phase, pattern)
        ]
        return _measured(of(figures.cost), windows)

    return Quantity(unit=unit, about=f"{about} per checkout, {phase} load", read=read)


def _count(about: str, of: Callable[[Counts], int]) -> Quantity:
    def read(run: Comparison, pattern: str) -> Measurement | None:
        figures = _figures(run, WindowPhase.LIGHT, pattern)
        return Measurement(value=float(of(figures.counts))) if figures else None

    return Quantity(unit="", about=f"checkouts {about}, light load", read=read)


def _measured(value: float, windows: Sequence[float]) -> Measurement:
    interval = None
    if len(windows) >= LEAST_BLOCKS and all(
        isfinite(number) and number > 0 for number in (value, *windows)
    ):
        logs = [log(value) for value in windows]
        found = interval_of_mean(values=logs, confidence=CONFIDENCE)
        interval = Interval(
            estimate=value,
            low=value * exp(found.low - found.estimate),
            high=value * exp(found.high - found.estimate),
        )
    return Measurement(value=value, windows=windows, interval=interval)


def _or_never(time: float | None) -> float:
    return inf if time is None else time


def _figures(run: Comparison, phase: WindowPhase, pattern: str) -> Figures | None:
    return next((figures for figures in run.of(phase) if figures.pattern == pattern), None)


_TIMES = {
    f"{prefix}{name}": Quantity(
        unit="ms", about=f"{name} {about}", read=_percentile(phase, attribute, place)
    )
    for prefix, about, phase, attribute in (
        ("", "until the outcome, light load", WindowPhase.LIGHT, "outcome"),
        ("accepted_", "until the 202, light load", WindowPhase.LIGHT, "acceptance"),
        ("undone_", "until it was undone", WindowPhase.FAILURES, "compensated"),
        ("refused_", "until it was refused", WindowPhase.FAILURES, "refused"),
        ("hot_", "when all want one product", WindowPhase.HOT, "outcome"),
        ("zipf_", "when some are popular", WindowPhase.ZIPF, "outcome"),
    )
    for place, name in enumerate(("p50", "p95", "p99"))
}
_OTHERS = {
    "completed/s": Quantity(unit="/s", about="completed, full load", read=_completed),
    "beyond/s": _completed_at(WindowPhase.BEYOND, "twice as much offered"),
    "hot/s": _completed_at(WindowPhase.HOT_FULL, "full load, all want one product"),
    "zipf/s": _completed_at(WindowPhase.ZIPF_FULL, "full load, some are popular"),
    "knee/s": Quantity(unit="/s", about="sustained", read=_knee),
    "cpu": _cost("ms", "CPU of the whole shop", lambda cost: cost.shop_cpu_ms),
    "cpu_light": _cost(
        "ms", "CPU of the whole shop", lambda cost: cost.shop_cpu_ms, WindowPhase.LIGHT
    ),
    "writes": _cost("", "writing transactions", lambda cost: cost.writes),
    "wal": _cost("kB", "write-ahead log", lambda cost: cost.wal_bytes / 1000),
    "messages": _cost("", "messages", lambda cost: cost.messages),
    "http_calls": _cost("", "HTTP calls", lambda cost: cost.http_calls),
    "unfinished": _count("that did not end in time", lambda counts: counts.unfinished),
    "not_accepted": _count("that were not accepted", lambda counts: counts.not_accepted),
}
QUANTITIES: Mapping[str, Quantity] = {**_TIMES, **_OTHERS}
COUNTED = ("unfinished", "not_accepted")
OF_A_FULL_RUN = ("hot_", "zipf_", "beyond/s", "hot/s", "zipf/s", "knee/s")
NAMED = (
    "p50, p95, p99 (until the outcome), the same prefixed with accepted_, undone_, refused_, hot_"
    f" or zipf_, {', '.join(_OTHERS)} (only a full run has {', '.join(OF_A_FULL_RUN)})"
)
