"""A run on one screen of a terminal: the figures that matter most; the page has all of them."""

import textwrap
from collections.abc import Callable, Sequence

from loadtests.drawing import cost, latency, throughput, verdicts, words
from loadtests.drawing.stored import Capacity, Figures, Run, Times, Verdict
from loadtests.evaluating.results import CostPerCheckout, Counts
from loadtests.load.windows import Phase

WIDTH, LABEL, LEAST_COLUMN = 80, 32, 15
FOREMOST = ("p50", "completed/s", "CPU")
LONGEST_FACT = 158
"""Two lines."""


def screen(*, run: Run) -> str:
    """At most 45 lines of 80 columns with two patterns; a line break is no part of its end."""
    lines = [
        _line("THE SAME CHECKOUT", [words.short_name_of(pattern) for pattern in run.patterns]),
        *_light(run),
        *_full(run),
        *_failures(run),
        *_decided(run),
        "",
        "MADE ON",
        *[_fact(name, said) for name, said in run.environment.items() if name != "processes"],
        *[_wrapped(one) for one in closing(run=run)],
    ]
    return words.of_saga("\n".join(lines), saga=run.settings.saga).translate(words.PLAIN)


def closing(*, run: Run) -> list[str]:
    """What the audit said, and what is doubtful."""
    audit = "clean" if run.audit.is_clean else f"BREACHED: {run.audit.said}"
    stopped = ["stopped before its end: this is of the windows until then"] * run.was_stopped
    return [*stopped, f"audit: {audit}", *(f"beware: {doubt}" for doubt in run.doubts)]


def _light(run: Run) -> list[str]:
    found = run.of(Phase.LIGHT)
    if not found:
        return []
    return [
        f"LIGHT LOAD, {run.settings.rate:g}/s: ms from intended start to outcome",
        *[
            _line(f"  p{share}", [latency.spread(one.outcome, place) for one in found])
            for place, share in enumerate((50, 95, 99))
        ],
        _row("accepted after, p50 / p99", found, lambda one: _pair(one.acceptance)),
    ]


def _full(run: Run) -> list[str]:
    found, light = run.of(Phase.FULL), run.of(Phase.LIGHT)
    if not found:
        return []
    return [
        "FULL LOAD, more than it can do",
        _row("completed/s", found, throughput.capacity),
        *_knees(run),
        _row("CPU ms a checkout", found, lambda one: f"{one.cost.shop_cpu_ms:.2f}"),
        _row("  of it: services", found, lambda one: _cpu(one.cost, of_services=True)),
        _row("  PostgreSQL and broker", found, lambda one: _cpu(one.cost, of_services=False)),
        _row("  the same at light load", light, lambda one: f"{one.cost.shop_cpu_ms:.1f}"),
        _row("writing transactions", found, lambda one: f"{one.cost.writes:.2f}"),
        _row("WAL kB", found, lambda one: f"{one.cost.wal_bytes / 1000:.1f}"),
        _row(
            "messages / HTTP calls",
            found,
            lambda one: f"{one.cost.messages:.2f} / {one.cost.http_calls:.2f}",
        ),
    ]


def _knees(run: Run) -> list[str]:
    """Of a full run."""
    known = {one.pattern: _knee(one) for one in run.capacities}
    knees = [known.get(pattern, "-") for pattern in run.patterns]
    return [_line("  for good a second: knee (95 %)", knees)] if known else []


def _knee(one: Capacity) -> str:
    """With its interval in few letters, where it has one."""
    said = f"{one.knee:.0f}" if one.knee else "none"
    if one.knee_between is None:
        return said
    low, high = one.knee_between.low, one.knee_between.high
    return f"{said}  ({f'{low:.0f}+' if high is None else f'{low:.0f}-{high:.0f}'})"


def _failures(run: Run) -> list[str]:
    found = run.of(Phase.FAILURES)
    if not found:
        return []
    return [
        f"FAILURES, {words.share(run.settings.declined)} declined cards,"
        f" {words.share(run.settings.scarce)} want a last unit",
        _row("completed / undone / refused", found, lambda one: _ended(one.counts)),
        _row("undone after ms, p50 / p99", found, lambda one: _pair(one.compensated)),
        _row("refused after ms, p50 / p99", found, lambda one: _pair(one.refused)),
    ]


def _decided(run: Run) -> list[str]:
    of_one_pair = len({(verdict.first, verdict.second) for verdict in run.verdicts}) < 2
    shown = run.verdicts if of_one_pair else _foremost(run.verdicts)
    lines = list(dict.fromkeys(_decision(one, of_one_pair) for one in shown))
    left = len(run.verdicts) - len(shown)
    if left:
        lines.append(f"  and {left} more in the report")
    return ["", "DECIDED, with intervals", *lines] if lines else []


def _foremost(every: Sequence[Verdict]) -> list[Verdict]:
    """Of several pairs: the figures asked for first, and only between patterns."""
    return [
        one
        for one in every
        if one.figure.startswith(FOREMOST) and words.FLOOR not in (one.first, one.second)
    ]


def _decision(one: Verdict, of_one_pair: bool) -> str:
    names = f", {words.short_name_of(one.first)} and {words.short_name_of(one.second)}"
    named = "" if of_one_pair or one.better or one.ratio is None else names
    return _wrapped(f"{one.figure}{named}: {verdicts.short(one)}")


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
    return _line(f"  {label}", [text(one) for one in found])


def _line(label: str, cells: Sequence[str]) -> str:
    column = max((WIDTH - LABEL) // max(len(cells), 1), LEAST_COLUMN)
    return label.ljust(LABEL) + "".join(_fitted(cell, column).rjust(column) for cell in cells)


def _fitted(cell: str, column: int) -> str:
    """Without its range where there is no room for it."""
    return cell if len(cell) < column else cell.partition("  ")[0]


def _fact(name: str, said: str) -> str:
    return _wrapped(textwrap.shorten(f"{name}: {said}", LONGEST_FACT, placeholder=" ..."))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
