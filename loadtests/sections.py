"""What a report says, as sections of rows, before anybody decides how it looks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from loadtests.comparison import Comparison
from loadtests.plan import Phase
from loadtests.results import Figures, Times

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure, and its text for each pattern."""

    label: str
    cells: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Section:
    title: str
    rows: Sequence[Row]


def sections(*, comparison: Comparison) -> list[Section]:
    """In the order in which they are shown."""
    return [_light(comparison), _full(comparison), _cost(comparison), _failures(comparison)]


def _light(comparison: Comparison) -> Section:
    found = _figures(comparison, Phase.LIGHT)
    one = found[0]
    return Section(
        title=f"LIGHT LOAD  {comparison.settings.rate:g}/s, Poisson, {one.windows} windows of"
        f" {one.seconds:g} s each",
        rows=[
            *_counts(found),
            _row("p50 ms, intended start to outcome", found, lambda f: _spread(f.outcome, 0)),
            _row("p95 ms", found, lambda f: _spread(f.outcome, 1)),
            _row("p99 ms", found, lambda f: _spread(f.outcome, 2)),
            _row("accepted (202) after: p50 / p99 ms", found, lambda f: _pair(f.acceptance)),
        ],
    )


def _full(comparison: Comparison) -> Section:
    found = _figures(comparison, Phase.FULL)
    one = found[0]
    return Section(
        title=f"FULL LOAD  more than it can do, constant, {one.windows} windows of"
        f" {one.seconds:g} s each",
        rows=[
            *_counts(found),
            _row("offered/s", found, lambda f: _range(f.offered_per_second)),
            _row("completed/s, until the last has ended", found, _capacity),
        ],
    )


def _cost(comparison: Comparison) -> Section:
    found = _figures(comparison, Phase.FULL)
    light = _figures(comparison, Phase.LIGHT)
    return Section(
        title="COST OF A CHECKOUT  at full load; CPU in ms, web + worker",
        rows=[
            *[_row(name.replace("_", " "), found, _service_cpu(name)) for name in _services(found)],
            *[
                _row(label, found, _process_cpu(names))
                for label, names in (
                    ("PostgreSQL", ("postgres",)),
                    ("RabbitMQ", ("rabbitmq", "epmd")),
                )
                if any(name in one.cost.cpu_ms for one in found for name in names)
            ],
            _row("CPU ms of the whole shop", found, lambda f: f"{f.cost.shop_cpu_ms:.2f}"),
            _row("  the same at light load", light, lambda f: f"{f.cost.shop_cpu_ms:.2f}"),
            Row(
                label="  at rest, ms a second",
                cells=[f"{comparison.at_rest_ms_per_second:.0f}"] * len(found),
            ),
            _row(
                "generator, apart (and at light load)",
                list(zip(found, light, strict=True)),
                lambda f: f"{f[0].cost.generator_cpu_ms:.2f} ({f[1].cost.generator_cpu_ms:.2f})",
            ),
            _row("transactions that wrote", found, lambda f: f"{f.cost.writes:.2f}"),
            _row("WAL kB", found, lambda f: f"{f.cost.wal_bytes / 1000:.1f}"),
            _row(
                "messages / HTTP calls",
                found,
                lambda f: f"{f.cost.messages:.2f} / {f.cost.http_calls:.2f}",
            ),
        ],
    )


def _failures(comparison: Comparison) -> Section:
    found = _figures(comparison, Phase.FAILURES)
    settings = comparison.settings
    return Section(
        title=f"FAILURES  {settings.rate:g}/s, {settings.declined:.0%} declined cards,"
        f" {settings.scarce:.0%} want a last unit",
        rows=[
            *_counts(found),
            _row("refused after: p50 / p99 ms", found, lambda f: _pair(f.refused)),
            _row("compensated after: p50 / p99 ms", found, lambda f: _pair(f.compensated)),
        ],
    )


def _figures(comparison: Comparison, phase: Phase) -> list[Figures]:
    return [comparison.of(phase=phase, pattern=pattern) for pattern in comparison.settings.patterns]


def _counts(found: Sequence[Figures]) -> list[Row]:
    counted = [one.counts for one in found]
    return [
        _row(
            "offered / accepted / completed",
            counted,
            lambda c: f"{c.offered} / {c.accepted} / {c.completed}",
        ),
        _row(
            "refused / compensated / unfinished",
            counted,
            lambda c: f"{c.refused} / {c.compensated} / {c.unfinished}",
        ),
    ]


def _row(label: str, found: Sequence[T], text: Callable[[T], str]) -> Row:
    return Row(label=label, cells=[text(one) for one in found])


def _services(found: Sequence[Figures]) -> list[str]:
    """The services that have processes, in the order of the first run's names."""
    names = {name.partition(".")[0] for one in found for name in one.cost.cpu_ms if "." in name}
    return sorted(names)


def _service_cpu(service: str) -> Callable[[Figures], str]:
    def text(one: Figures) -> str:
        parts = [one.cost.cpu_ms.get(f"{service}.{kind}") for kind in ("web", "worker")]
        return " + ".join(f"{part:.2f}" for part in parts if part is not None)

    return text


def _process_cpu(names: Sequence[str]) -> Callable[[Figures], str]:
    return lambda one: f"{sum(one.cost.cpu_ms.get(name, 0.0) for name in names):.2f}"


def _spread(times: Times | None, place: int) -> str:
    """The percentile of all, and the lowest and highest of a window."""
    if times is None:
        return "-"
    windows = times.of_windows(place)
    whole = (times.p50, times.p95, times.p99)[place]
    return f"{_ms(whole)}  ({_ms(min(windows))} to {_ms(max(windows))})"


def _pair(times: Times | None) -> str:
    return "-" if times is None else f"{_ms(times.p50)} / {_ms(times.p99)}"


def _ms(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f}"


def _capacity(one: Figures) -> str:
    windows = zip(one.completed_per_second, one.is_saturated, strict=True)
    saturated = [value for value, is_saturated in windows if is_saturated]
    if not saturated:
        return f"more than {max(one.completed_per_second):.0f}"
    return _range(saturated)


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.0f}  ({min(values):.0f} to {max(values):.0f})"
