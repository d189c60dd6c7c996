"""Two stored runs side by side: their environments, the figures that changed, the decisions.

The runs were made at different times, so their windows are not paired: a figure has changed if all
windows of one run lie on one side of the other's. A smaller difference may be chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

import msgspec

from loadtests.drawing import verdicts, words
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.quantities import QUANTITIES
from loadtests.evaluating.verdicts import SMALLEST_OF_INTEREST

Windows = Sequence[float]
"""Infinite where the outcome never came."""
APART, OVERLAPS, SAME = "changed", "overlaps", ""
LABEL, COLUMN = 24, 22


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure in both runs, window by window."""

    figure: str
    before: Windows
    after: Windows

    @property
    def verdict(self) -> str:
        """`changed`: all windows apart; `overlaps`: medians differ by more than 5 %."""
        before, after = self.before, self.after
        if max(before) < min(after) or max(after) < min(before):
            return APART
        first, other = median(before), median(after)
        return OVERLAPS if abs(other - first) > SMALLEST_OF_INTEREST * min(first, other) else SAME


def differences(*, before: Comparison, after: Comparison) -> str:
    """As text: the environment, then each figure that both runs have, then the decisions."""
    lines = [
        f"A: {before.made_at}, seed {before.settings.seed}",
        f"B: {after.made_at}, seed {after.settings.seed}",
        "",
        *circumstances(before=before, after=after),
        "",
        "FIGURE".ljust(LABEL) + "A".rjust(COLUMN) + "B".rjust(COLUMN),
    ]
    lines += _rows(changes(before=before, after=after))
    lines += ["  (median, and the lowest and highest window)"]
    lines += [*_knees(before, after), "", *_decided(before, after)]
    return "\n".join(lines).translate(words.PLAIN)


def circumstances(*, before: Comparison, after: Comparison) -> list[str]:
    """How environment and settings differ, as this alone may have changed a figure."""
    pairs = unlike(before=before, after=after)
    if not pairs:
        return ["SAME ENVIRONMENT and settings"]
    lines = ["NOT THE SAME: figures may differ for this reason alone"]
    for name, first, other in pairs:
        lines += [f"  {name}", f"    A: {first}", f"    B: {other}"]
    return lines


def unlike(*, before: Comparison, after: Comparison) -> list[tuple[str, object, object]]:
    """What differs in environment, settings and audit: its name, and both values."""
    settings = [msgspec.to_builtins(run.settings) for run in (before, after)]
    return [
        *_compared(before.environment, after.environment),
        *[setting for setting in _compared(*settings) if setting[0] != "seed"],
        *_compared({"audit": _audit(before)}, {"audit": _audit(after)}),
    ]


def changes(*, before: Comparison, after: Comparison) -> list[Change]:
    """Every figure that both runs have, pattern by pattern."""
    found, other = windows_of(run=before), windows_of(run=after)
    return [
        Change(figure=figure, before=windows, after=other[figure])
        for figure, windows in found.items()
        if windows and other.get(figure)
    ]


def windows_of(*, run: Comparison) -> dict[str, Windows]:
    """A run's figures by name, window by window."""
    return {
        _named(label, pattern): measured.windows
        for name, label in _SHOWN.items()
        for pattern in run.patterns
        if (measured := QUANTITIES[name].read(run, pattern))
    }


_SHOWN = {
    **{name: f"{name} ms, light load" for name in ("p50", "p95", "p99")},
    "completed/s": "completed/s, full load",
    "cpu": "CPU ms, full load",
    "wal": "WAL kB, full load",
    "messages": "messages, full load",
    "http_calls": "HTTP calls, full load",
}


def _knees(before: Comparison, after: Comparison) -> list[str]:
    """A line per knee: changed if the two intervals do not meet."""
    found, other = (
        {capacity.pattern: capacity for capacity in run.capacities} for run in (before, after)
    )
    lines = []
    for pattern in before.patterns:
        pair = [known[pattern] for known in (found, other) if pattern in known]
        between = [capacity.knee_between for capacity in pair if capacity.knee_between]
        if len(between) < 2:
            continue
        sign = APART if between[0].is_apart(between[1]) else SAME
        cells = "".join(_knee(capacity).rjust(COLUMN) for capacity in pair)
        lines.append(f"  {_named('knee/s', pattern)}".ljust(LABEL) + f"{cells}  {sign}".rstrip())
    return [*lines, "  (sustained load, and its 95 % interval)"] if lines else []


def _knee(capacity: Capacity) -> str:
    between = (
        words.bounds(capacity.knee_between.low, capacity.knee_between.high)
        if capacity.knee_between
        else "-"
    )
    return f"{f'{capacity.knee:.0f}' if capacity.knee else 'none'} ({between})"


def _decided(before: Comparison, after: Comparison) -> list[str]:
    was = {
        (verdict.figure, verdict.first, verdict.second): verdicts.sentence(verdict)
        for verdict in before.verdicts
    }
    lines = []
    for verdict in after.verdicts:
        known = was.get((verdict.figure, verdict.first, verdict.second))
        if known is not None:
            lines += [
                f"  {verdict.figure}",
                f"    A: {known}",
                f"    B: {verdicts.sentence(verdict)}",
            ]
    return ["DECIDED", *lines] if lines else []


def _rows(every: Sequence[Change]) -> list[str]:
    """A figure, and below it a line per pattern."""
    lines = []
    for figure, same in groupby(every, key=lambda change: change.figure.rpartition(", ")[0]):
        lines.append(f"  {figure}")
        for change in same:
            cells = [_cell(windows).rjust(COLUMN) for windows in (change.before, change.after)]
            label = f"    {change.figure.rpartition(', ')[2]}".ljust(LABEL)
            lines.append(f"{label}{''.join(cells)}  {change.verdict}".rstrip())
    return lines


def _cell(windows: Windows) -> str:
    return f"{words.number(median(windows))} ({words.spread(windows)})"


def _compared(
    before: Mapping[str, object], after: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    names = dict.fromkeys([*before, *after])
    return [
        (name, before.get(name, "-"), after.get(name, "-"))
        for name in names
        if before.get(name, "-") != after.get(name, "-")
    ]


def _audit(run: Comparison) -> str:
    return "clean" if run.audit.is_clean else "breached"


def _named(figure: str, pattern: str) -> str:
    return f"{figure}, {words.short_name_of(pattern)}"
