"""Two stored runs side by side: what they were made on, which figures changed, what is decided now.

Runs are made at different times, so nothing is paired between them: a figure has changed where
the windows of one run all lie on one side of the other's. Less than that is not told from chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from loadtests.drawing import verdicts, words
from loadtests.drawing.stored import Run, WindowFacts
from loadtests.evaluating.verdicts import SMALLEST_OF_INTEREST
from loadtests.load.windows import Phase

Windows = Sequence[float | None]
APART, OVERLAPS, SAME = "changed", "overlaps", ""
LABEL, COLUMN = 41, 26


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure in both runs: its windows there, and what may be said of the two."""

    figure: str
    before: Windows
    after: Windows

    @property
    def verdict(self) -> str:
        """`changed`: all windows apart; `overlaps`: medians differ by more than 5 %."""
        before, after = _known(self.before), _known(self.after)
        if max(before) < min(after) or max(after) < min(before):
            return APART
        one, other = median(before), median(after)
        return OVERLAPS if abs(other - one) > SMALLEST_OF_INTEREST * min(one, other) else SAME


def differences(*, before: Run, after: Run) -> str:
    """As text: environment first, then each figure that both runs have, then the decisions."""
    lines = [
        f"A: {before.made_at}, seed {before.settings.seed}",
        f"B: {after.made_at}, seed {after.settings.seed}",
        "",
        *circumstances(before=before, after=after),
        "",
        "FIGURE".ljust(LABEL) + "A".rjust(COLUMN) + "B".rjust(COLUMN),
    ]
    lines += [_line(change) for change in changes(before=before, after=after)]
    lines += ["  (median, and the lowest and highest window)"]
    lines += [*_knees(before, after), "", *_decided(before, after)]
    return "\n".join(lines).translate(words.PLAIN)


def circumstances(*, before: Run, after: Run) -> list[str]:
    """What was not the same in both: then a figure may have changed for that alone."""
    pairs = [*_compared(before.environment, after.environment)]
    settings = [msgspec.to_builtins(one.settings) for one in (before, after)]
    pairs += [one for one in _compared(*settings) if one[0] != "seed"]
    pairs += _compared({"audit": _audit(before)}, {"audit": _audit(after)})
    if not pairs:
        return ["MADE ON the same, with the same settings"]
    lines = ["NOT THE SAME: figures may differ for this alone"]
    for name, one, other in pairs:
        lines += [f"  {name}", f"    A: {one}", f"    B: {other}"]
    return lines


def changes(*, before: Run, after: Run) -> list[Change]:
    """Every figure that both runs have, pattern by pattern."""
    found, other = windows_of(run=before), windows_of(run=after)
    return [
        Change(figure=figure, before=windows, after=other[figure])
        for figure, windows in found.items()
        if windows and other.get(figure)
    ]


def windows_of(*, run: Run) -> dict[str, Windows]:
    """A run's figures by name, window by window."""
    found: dict[str, Windows] = {}
    for place, share in enumerate(("p50", "p95", "p99")):
        for one in run.of(Phase.LIGHT):
            times = one.outcome.of_windows(place) if one.outcome else []
            found[_named(f"{share} ms, light load", one.pattern)] = times
    for one in run.of(Phase.FULL):
        found[_named("completed/s, full load", one.pattern)] = one.capacities
    for label, of in _COSTS.items():
        for pattern in run.patterns:
            costs = [
                of(w)
                for w in run.windows
                if (w.window.phase, w.window.pattern) == (Phase.FULL, pattern)
            ]
            found[_named(f"{label}, full load", pattern)] = costs
    return found


_COSTS: Mapping[str, Callable[[WindowFacts], float]] = {
    "CPU ms": lambda one: one.cost.shop_cpu_ms / max(one.counts.accepted, 1),
    "WAL kB": lambda one: one.cost.wal_bytes / 1000 / max(one.counts.accepted, 1),
    "messages": lambda one: one.cost.messages / max(one.counts.accepted, 1),
    "HTTP calls": lambda one: one.cost.http_calls / max(one.counts.accepted, 1),
}


def knee_between(*, run: Run, pattern: str) -> tuple[float, float] | None:
    """The interval of the highest load a second that the pattern takes for good (up to infinite
    where nothing above it was tried); None for a run that did not look for it.

    A run from before there were intervals: that load, and the next one that was tried.
    """
    found = [one for one in run.capacities if one.pattern == pattern and one.levels]
    if not found:
        return None
    if known := found[0].knee_between:
        return known.low, float("inf") if known.high is None else known.high
    knee = found[0].knee or 0.0
    above = [level.offered for level in found[0].levels if level.offered > knee + 1]
    return knee, min(above, default=float("inf"))


def _knees(before: Run, after: Run) -> list[str]:
    """Changed where the intervals of the knee are apart."""
    lines = []
    for pattern in before.patterns:
        one, other = (knee_between(run=run, pattern=pattern) for run in (before, after))
        if one is None or other is None:
            continue
        is_apart = one[1] <= other[0] or other[1] <= one[0]
        cells = "".join(_knee(run, pattern).rjust(COLUMN) for run in (before, after))
        said = APART if is_apart else SAME
        lines.append(f"  {_named('knee/s', pattern)}".ljust(LABEL) + f"{cells}  {said}".rstrip())
    said = "  (taken for good, and its 95 % interval; without one: the next load that was tried)"
    return [*lines, said] if lines else []


def _knee(run: Run, pattern: str) -> str:
    """With its interval, where it has one."""
    low, high = knee_between(run=run, pattern=pattern) or (0.0, float("inf"))
    between = words.bounds(low, None if high == float("inf") else high)
    known = {one.pattern: one for one in run.capacities}[pattern]
    if known.knee_between is None:
        return between
    return f"{f'{known.knee:.0f}' if known.knee else 'none'} ({between})"


def _decided(before: Run, after: Run) -> list[str]:
    was = {
        (verdict.figure, verdict.first, verdict.second): verdicts.short(verdict)
        for verdict in before.verdicts
    }
    lines = []
    for verdict in after.verdicts:
        known = was.get((verdict.figure, verdict.first, verdict.second))
        if known is not None:
            lines += [f"  {verdict.figure}", f"    A: {known}", f"    B: {verdicts.short(verdict)}"]
    return ["DECIDED", *lines] if lines else []


def _line(one: Change) -> str:
    cells = "".join(_cell(windows).rjust(COLUMN) for windows in (one.before, one.after))
    return f"  {one.figure}".ljust(LABEL) + cells + f"  {one.verdict}".rstrip()


def _cell(windows: Windows) -> str:
    return f"{words.number(median(_known(windows)))} ({words.spread(windows)})"


def _known(windows: Windows) -> list[float]:
    """What never came is later than everything."""
    return [float("inf") if window is None else window for window in windows]


def _compared(
    one: Mapping[str, object], other: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    names = dict.fromkeys([*one, *other])
    return [
        (name, one.get(name, "-"), other.get(name, "-"))
        for name in names
        if one.get(name, "-") != other.get(name, "-")
    ]


def _audit(run: Run) -> str:
    return "clean" if run.audit.is_clean else "breached"


def _named(figure: str, pattern: str) -> str:
    return f"{figure}, {words.short_name_of(pattern)}"
