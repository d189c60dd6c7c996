"""A run on one screen of a terminal: the most important figures; the page has all of them."""

import textwrap
from collections.abc import Callable, Sequence
from itertools import groupby

from loadtests.drawing import cost, latency, throughput, verdicts, words
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.results import CostPerCheckout, Counts, Figures, Times
from loadtests.evaluating.verdicts import FigureVerdict
from loadtests.load.windows import WindowPhase

WIDTH, LABEL, LEAST_COLUMN = 79, 32, 15
FOREMOST = ("p50", "completed/s", "CPU")
LONGEST_FACT = 158
"""Two lines."""


def screen(*, run: Comparison) -> str:
    """The verdict, then warnings, then figures: at most 45 lines of 79 columns for two patterns,
    without a line break at the end."""
    lines = [
        textwrap.fill(verdicts.headline(run=run), WIDTH),
        *audit(run=run),
        *_decided(run),
        "",
        _line(
            "FIGURES OF THE SAME CHECKOUT",
            [words.short_name_of(pattern) for pattern in run.patterns],
        ),
        *_light(run),
        *_full(run),
        *_failures(run),
        "",
        "ENVIRONMENT",
        *[_fact(name, text) for name, text in run.environment.items() if name != "processes"],
        f"  again: {run.settings.as_command}",
    ]
    return words.of_saga("\n".join(lines), saga=run.settings.saga).translate(words.PLAIN)


def audit(*, run: Comparison) -> list[str]:
    """The audit's result, and the warnings."""
    text = "audit: clean" if run.audit.is_clean else f"audit: BREACHED: {run.audit.output}"
    return [
        wrapped(text),
        *(wrapped(f"warning: {warning}") for warning in verdicts.warnings(run=run)),
    ]


def _light(run: Comparison) -> list[str]:
    found = run.of(WindowPhase.LIGHT)
    if not found:
        return []
    return [
        f"Light load, {run.settings.rate:g}/s: ms from intended start to outcome",
        *[
            _line(f"  p{share}", [latency.spread(figures.outcome, place) for figures in found])
            for place, share in enumerate((50, 95, 99))
        ],
        _row("accepted after, p50 / p99", found, lambda figures: _pair(figures.acceptance)),
    ]


def _full(run: Comparison) -> list[str]:
    found, light = run.of(WindowPhase.FULL), run.of(WindowPhase.LIGHT)
    if not found:
        return []
    return [
        "Full load, more than the pattern can do",
        _row("completed/s", found, throughput.capacity),
        *_knees(run),
        *_pressures(run),
        _row("CPU ms per checkout", found, lambda figures: f"{figures.cost.shop_cpu_ms:.2f}"),
        _row("  of it: services", found, lambda figures: _cpu(figures.cost, of_services=True)),
        _row(
            "  PostgreSQL and broker", found, lambda figures: _cpu(figures.cost, of_services=False)
        ),
        _row("  the same at light load", light, lambda figures: f"{figures.cost.shop_cpu_ms:.1f}"),
        _row("writing transactions", found, lambda figures: f"{figures.cost.writes:.2f}"),
        _row("WAL kB", found, lambda figures: f"{figures.cost.wal_bytes / 1000:.1f}"),
        _row(
            "messages / HTTP calls",
            found,
            lambda figures: f"{figures.cost.messages:.2f} / {figures.cost.http_calls:.2f}",
        ),
    ]


def _knees(run: Comparison) -> list[str]:
    """The sustained load of each pattern; only a full run has it."""
    known = {capacity.pattern: _knee(capacity) for capacity in run.capacities}
    knees = [known.get(pattern, "-") for pattern in run.patterns]
    return [_line("  sustained/s (95 %)", knees)] if known else []


def _pressures(run: Comparison) -> list[str]:
    """What completes at a harder full load, as a share of plain full load; of a full run only."""
    if not run.pressures:
        return []
    shares = {
        (pressure.pattern, pressure.phase): pressure.ratio
        for pressure in run.pressures
        if pressure.ratio
    }
    cells = [
        " / ".join(
            f"{found.estimate:.2f}" if (found := shares.get((pattern, phase))) else "-"
            for phase in throughput.HARDER
        )
        for pattern in run.patterns
    ]
    return [_line("  twice / hot / Zipf, of it", cells)]


def _knee(capacity: Capacity) -> str:
    """With its interval in short form, where it has one."""
    text = f"{capacity.knee:.0f}" if capacity.knee else "none"
    if capacity.knee_between is None:
        return text
    low, high = capacity.knee_between.low, capacity.knee_between.high
    return f"{text}  ({f'{low:.0f}+' if high is None else f'{low:.0f}-{high:.0f}'})"


def _failures(run: Comparison) -> list[str]:
    found = run.of(WindowPhase.FAILURES)
    if not found:
        return []
    return [
        f"Failures: {words.share(run.settings.declined)} declined cards,"
        f" {words.share(run.settings.scarce)} compete for a last unit",
        _row("completed / undone / refused", found, lambda figures: _ended(figures.counts)),
        _row("undone after ms, p50 / p99", found, lambda figures: _pair(figures.compensated)),
        _row("refused after ms, p50 / p99", found, lambda figures: _pair(figures.refused)),
    ]


def _decided(run: Comparison) -> list[str]:
    of_one_pair = len({(verdict.first, verdict.second) for verdict in run.verdicts}) < 2
    shown = run.verdicts if of_one_pair else _foremost(run.verdicts)
    lines = []
    for figure, same in groupby(shown, key=lambda verdict: verdict.figure):
        lines += [
            f"  {figure}",
            *dict.fromkeys(wrapped(verdicts.sentence(verdict), 4) for verdict in same),
        ]
    left = len(run.verdicts) - len(shown)
    if left:
        lines.append(f"  and {left} more in the report")
    return (
        ["", "DECISIONS, each with its interval (if not decided: run longer)", *lines]
        if lines
        else []
    )


def _foremost(every: Sequence[FigureVerdict]) -> list[FigureVerdict]:
    """For several pairs of patterns: the FOREMOST figures, without the monolith."""
    return [
        verdict
        for verdict in every
        if verdict.figure.startswith(FOREMOST)
        and words.FLOOR not in (verdict.first, verdict.second)
    ]


def _ended(found: Counts) -> str:
    return f"{found.completed} / {found.compensated} / {found.refused}"


def _pair(times: Times | None) -> str:
    """p50 and p99."""
    return "-" if times is None else f"{words.number(times.p50)} / {words.number(times.p99)}"


def _cpu(found: CostPerCheckout, *, of_services: bool) -> str:
    servers = {"postgres", "rabbitmq"}
    return words.number(
        sum(
            amount
            for group, amount in cost.by_group(found=found).items()
            if (group not in servers) == of_services
        )
    )


def _row(label: str, found: Sequence[Figures], text: Callable[[Figures], str]) -> str:
    return _line(f"  {label}", [text(figures) for figures in found])


def _line(label: str, cells: Sequence[str]) -> str:
    column = max((WIDTH - LABEL) // max(len(cells), 1), LEAST_COLUMN)
    return label.ljust(LABEL) + "".join(_fitted(cell, column).rjust(column) for cell in cells)


def _fitted(cell: str, column: int) -> str:
    """Without its range if there is no room for it."""
    return cell if len(cell) < column else cell.partition("  ")[0]


def _fact(name: str, text: str) -> str:
    return wrapped(textwrap.shorten(f"{name}: {text}", LONGEST_FACT, placeholder=" ..."))


def wrapped(text: str, indent: int = 2) -> str:
    """Wrapped for a terminal: the first line is indented by `indent`, the others by 2 more."""
    first, more = " " * indent, " " * (indent + 2)
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=more)
