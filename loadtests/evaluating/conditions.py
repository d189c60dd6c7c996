"""Conditions that a run is held to: `p95>300ms` fails where the p95 is above 300 ms.

    condition = [PATTERN.]FIGURE (> | <) LIMIT
    LIMIT     = NUMBER[UNIT]          of the figure: 300ms, 0.3s, 100/s, 40kB, 0
              | NUMBERx               times the same figure of a stored run
              | NUMBERx PATTERN       times that of another pattern of this run

A condition without a pattern is one for each pattern of the run.

What was measured decides, never an interval: that only says how near it was. A ratio's interval is
made of those of both figures (MOVER: Zou and Donner, Stat. Med. 27, 2008).
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
"""What may stand behind a limit, and what it is times; of other units itself and nothing."""
_CONDITION = re.compile(
    r"(?:(?P<pattern>[^.<>]+)\.)? *(?P<figure>[\w/]+) *(?P<sign>[<>]) *"
    r"(?P<number>\d+(?:\.\d+)?|\.\d+) *(?P<unit>[A-Za-z/]*)(?: +(?P<other>[^.<>]+))?"
)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`pattern`: empty for each. `limit`: in the figure's unit, or times what it is relative to:
    `other` is a pattern of the same run, empty for the same pattern of the stored run."""

    pattern: str
    figure: str
    rest: str
    """From the sign on, as it was written but for spaces."""
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
        """Whether it is held against another run."""
        return self.is_relative and not self.other


def condition(text: str) -> Condition:
    """What was written. Raises ValueError that says what can be."""
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is no condition: write it like 'p95>300ms', 'orchestrated.completed/s<100',"
            f" 'p50>1.2x' or 'orchestrated.p50>1.2x choreographed'. Figures: {NAMED}"
        )
    figure, unit, other = found["figure"], found["unit"], (found["other"] or "").strip()
    if figure not in QUANTITIES:
        raise ValueError(f"{text!r}: there is no figure {figure!r}. There are: {NAMED}")
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
    """One for each pattern that it is of, each once; the floor has to be named.

    Raises ValueError for what a run of these patterns will not measure, or the run `against` which
    it is held has not.
    """
    found = []
    for condition in conditions:
        usual = [name for name in patterns if name not in (condition.other, shopper.MONOLITH)]
        if not (condition.pattern or usual):
            raise ValueError(f"{condition}: the run has no pattern beside {', '.join(patterns)}")
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
            f"{condition} is relative: name the stored run that it is held against (--against DIR),"
            f" or another pattern of this run ({condition} PATTERN)"
        )
    if not against.is_valid:
        raise ValueError(f"{condition}: the run that it is held against is not a valid one")
    if condition.quantity.read(against, condition.pattern) is None:
        raise ValueError(f"{condition}: the run that it is held against has not measured that")


class Standing(StrEnum):
    """UNDECIDED: it was not measured, or in a run that is not valid."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "not decided"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A condition as it came out.

    `measured`: in the figure's unit, and `base` what it is relative to, of which `seen` is the
    ratio; else `seen` is what was measured. `interval`: of `seen`. `why`: it is not decided.
    """

    condition: Condition
    standing: Standing
    measured: float = 0.0
    base: float | None = None
    seen: float = 0.0
    interval: Interval | None = None
    why: str = ""

    @property
    def reaches(self) -> float | None:
        """The end of the interval beyond the limit, seen from `seen`; None where none is."""
        limit = self.condition.limit
        if self.interval is None:
            return None
        if self.seen > limit:
            return self.interval.low if self.interval.low < limit else None
        return self.interval.high if self.interval.high > limit else None


def judge(
    *, conditions: Sequence[Condition], run: Comparison, against: Comparison | None
) -> list[Judgement]:
    """Each of these (expanded) conditions, in their order."""
    return [
        _judge(condition, run, against if condition.is_of_stored else run)
        for condition in conditions
    ]


def _judge(condition: Condition, run: Comparison, other: Comparison | None) -> Judgement:
    if not run.is_valid:
        why = "the run is not a valid one" if run.audit.is_clean else "the audit found a breach"
        return _undecided(condition, why)
    found = condition.quantity.read(run, condition.pattern)
    if found is None:
        return _undecided(condition, "this run has not measured it")
    if not condition.is_relative or other is None:
        return _decided(condition, found, found, None)
    base = condition.quantity.read(other, condition.other or condition.pattern)
    if base is None or not (0 < base.value < inf):
        return _undecided(condition, "what it is relative to was not measured, or is 0")
    return _decided(condition, found, _ratio(found, base), base)


def _decided(
    wanted: Condition, found: Measurement, seen: Measurement, base: Measurement | None
) -> Judgement:
    is_above = seen.value > wanted.limit
    may_be_less = base is not None and base.is_least
    is_open = may_be_less if is_above else found.is_least
    if is_open:
        return _undecided(wanted, "it was never saturated, so what it can take is not known")
    is_beyond = is_above if wanted.fails_above else seen.value < wanted.limit
    return Judgement(
        condition=wanted,
        standing=Standing.FAILS if is_beyond else Standing.HOLDS,
        measured=found.value,
        base=base.value if base else None,
        seen=seen.value,
        interval=seen.interval,
    )


def _undecided(condition: Condition, why: str) -> Judgement:
    return Judgement(condition=condition, standing=Standing.UNDECIDED, why=why)


def _ratio(found: Measurement, base: Measurement) -> Measurement:
    value = found.value / base.value
    if found.interval is None or base.interval is None or not 0 < value < inf:
        return Measurement(value=value)
    down = hypot(_width(found.interval.low, found.value), _width(base.interval.high, base.value))
    up = hypot(_width(found.interval.high, found.value), _width(base.interval.low, base.value))
    interval = Interval(estimate=value, low=value * exp(-down), high=value * exp(up))
    return Measurement(value=value, interval=interval)


def _width(end: float, value: float) -> float:
    """How far the end of an interval is from its middle, in logarithms."""
    return abs(log(end / value)) if end > 0 else inf
