"""Conditions that a run has to meet: `p95>300ms` fails if the p95 is above 300 ms.

    condition = [PATTERN.]FIGURE (> | <) LIMIT
    LIMIT     = NUMBER[UNIT]          of the figure: 300ms, 0.3s, 100/s, 40kB, 0
              | NUMBERx               times the same figure of a stored run
              | NUMBERx PATTERN       times that of another pattern of this run

A condition without a pattern applies to each pattern of the run.

The measured value decides, never its interval, which only shows how close it was. The interval of a
ratio is made from those of both figures (MOVER: Zou and Donner, Stat. Med. 27, 2008).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp, hypot, inf, log

from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.quantities import NAMED, OF_A_FULL_RUN, QUANTITIES, Measurement, Quantity
from loadtests.evaluating.verdicts import Interval
from loadtests.load import shopper

_UNITS = {"ms": {"": 1.0, "ms": 1.0, "s": 1000.0}}
"""The units a limit may have, and their factors; any other figure has its own unit, or none."""
_CONDITION = re.compile(
    r"(?:(?P<pattern>[^.<>]+)\.)? *(?P<figure>[\w/]+) *(?P<sign>[<>]) *"
    r"(?P<number>\d+(?:\.\d+)?|\.\d+) *(?P<unit>[A-Za-z/]*)(?: +(?P<other>[^.<>]+))?"
)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`pattern`: empty for each. `limit`: in the figure's unit, or a multiple of the same figure of
    `other`, a pattern of this run; if that is empty, of the same pattern in the stored run."""

    pattern: str
    figure: str
    rest: str
    """From the sign on, as written, without spaces."""
    limit: float
    is_relative: bool
    other: str

    def __str__(self) -> str:
        return f"{self.pattern}.{self.figure}{self.rest}".removeprefix(".")

    @property
    def quantity(self) -> Quantity:
        return QUANTITIES[self.figure]

    @property
    def fails_above(self) -> bool:
        return self.rest.startswith(">")

    @property
    def is_of_stored(self) -> bool:
        """Whether it is relative to a stored run."""
        return self.is_relative and not self.other


def condition(text: str) -> Condition:
    """The condition in `text`. Raises ValueError, which names what can be written."""
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is not a condition: write 'p95>300ms', 'orchestrated.completed/s<100',"
            f" 'p50>1.2x' or 'orchestrated.p50>1.2x choreographed'. Figures: {NAMED}"
        )
    figure, unit, other = found["figure"], found["unit"], (found["other"] or "").strip()
    if figure not in QUANTITIES:
        raise ValueError(f"{text!r}: unknown figure {figure!r}; choose from {NAMED}")
    own = QUANTITIES[figure].unit
    factors = {"x": 1.0, **_UNITS.get(own, {"": 1.0, own: 1.0})}
    if unit not in factors or (other and unit != "x"):
        known = " or ".join(repr(f"1{factor}") for factor in factors)
        raise ValueError(f"{text!r}: a limit of {figure} is written like {known}")
    return Condition(
        pattern=(found["pattern"] or "").strip(),
        figure=figure,
        rest=f"{found['sign']}{found['number']}{unit} {other}".strip(),
        limit=float(found["number"]) * factors[unit],
        is_relative=unit == "x",
        other=other,
    )


def expanded(
    *,
    conditions: Sequence[Condition],
    patterns: Sequence[str],
    is_full: bool,
    against: Comparison | None,
) -> list[Condition]:
    """Each condition once for each of its patterns; the monolith counts only where it is named.

    Raises ValueError for a figure that a run of these patterns does not measure, or that the stored
    run `against` has not measured.
    """
    found = []
    for condition in conditions:
        usual = [name for name in patterns if name not in (condition.other, shopper.MONOLITH)]
        if not (condition.pattern or usual):
            raise ValueError(f"{condition}: the run has no patterns but {', '.join(patterns)}")
        for pattern in [condition.pattern] if condition.pattern else usual:
            made = replace(condition, pattern=pattern)
            _check(made, patterns, is_full, against)
            found.append(made)
    return list(dict.fromkeys(found))


def _check(
    condition: Condition, patterns: Sequence[str], is_full: bool, against: Comparison | None
) -> None:
    for name in filter(None, (condition.pattern, condition.other)):
        if name not in patterns:
            there = ", ".join(patterns)
            raise ValueError(f"{condition}: the run has no pattern {name!r}; it has {there}")
    if condition.figure.startswith(OF_A_FULL_RUN) and not is_full:
        raise ValueError(f"{condition}: only a full run (--full) measures {condition.figure}")
    if not condition.is_of_stored:
        return
    if against is None:
        raise ValueError(
            f"{condition} is relative: name a stored run to compare with (--against DIR), or"
            f" another pattern of this run ({condition} PATTERN)"
        )
    if not against.is_valid:
        raise ValueError(f"{condition}: the stored run to compare with is not valid")
    if condition.quantity.read(against, condition.pattern) is None:
        raise ValueError(f"{condition}: the stored run to compare with has not measured this")


class ConditionState(StrEnum):
    """UNDECIDED: the figure was not measured, or the run is not valid."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "not decided"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on a condition.

    `measured`: in the figure's unit. `base`: the value it is relative to, and `seen` their ratio;
    without a base `seen` is the measured value. `interval`: of `seen`. `why`: it is not decided.
    """

    condition: Condition
    standing: ConditionState
    measured: float = 0.0
    base: float | None = None
    seen: float = 0.0
    interval: Interval | None = None
    why: str = ""

    @property
    def reaches(self) -> float | None:
        """The end of the interval that lies on the other side of the limit than `seen`, if any."""
        limit = self.condition.limit
        if self.interval is None:
            return None
        if self.seen > limit:
            return self.interval.low if self.interval.low < limit else None
        return self.interval.high if self.interval.high > limit else None


def judge(
    *, conditions: Sequence[Condition], run: Comparison, against: Comparison | None
) -> list[Judgement]:
    """The verdict on each of these (expanded) conditions, in order."""
    return [
        _judge(condition, run, against if condition.is_of_stored else run)
        for condition in conditions
    ]


def _judge(condition: Condition, run: Comparison, other: Comparison | None) -> Judgement:
    if not run.is_valid:
        why = "the run is not valid" if run.audit.is_clean else "the audit found a breach"
        return _undecided(condition, why)
    found = condition.quantity.read(run, condition.pattern)
    if found is None:
        return _undecided(condition, "this run has not measured it")
    if not condition.is_relative or other is None:
        return _decided(condition, found, found, None)
    base = condition.quantity.read(other, condition.other or condition.pattern)
    if base is None or not (0 < base.value < inf):
        return _undecided(condition, "the figure to compare with was not measured, or is 0")
    return _decided(condition, found, _ratio(found, base), base)


def _decided(
    wanted: Condition, found: Measurement, seen: Measurement, base: Measurement | None
) -> Judgement:
    is_above = seen.value > wanted.limit
    may_be_less = base is not None and base.is_least
    is_open = may_be_less if is_above else found.is_least
    if is_open:
        return _undecided(wanted, "it was never saturated, so its capacity is not known")
    is_beyond = is_above if wanted.fails_above else seen.value < wanted.limit
    return Judgement(
        condition=wanted,
        standing=ConditionState.FAILS if is_beyond else ConditionState.HOLDS,
        measured=found.value,
        base=base.value if base else None,
        seen=seen.value,
        interval=seen.interval,
    )


def _undecided(condition: Condition, why: str) -> Judgement:
    return Judgement(condition=condition, standing=ConditionState.UNDECIDED, why=why)


def _ratio(found: Measurement, base: Measurement) -> Measurement:
    value = found.value / base.value
    if found.interval is None or base.interval is None or not 0 < value < inf:
        return Measurement(value=value)
    down = hypot(_width(found.interval.low, found.value), _width(base.interval.high, base.value))
    up = hypot(_width(found.interval.high, found.value), _width(base.interval.low, base.value))
    interval = Interval(estimate=value, low=value * exp(-down), high=value * exp(up))
    return Measurement(value=value, interval=interval)


def _width(end: float, value: float) -> float:
    """The distance of an interval's end from its middle, in logarithms."""
    return abs(log(end / value)) if end > 0 else inf
