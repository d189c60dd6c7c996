"""Which pattern to choose in a situation: a forecast for each, their differences, where the ranking
turns as one input changes, and warnings about inputs outside the measured range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from math import inf, isfinite

from loadtests.choosing.figures import (
    CAPACITY,
    CPU,
    HTTP_CALLS,
    MESSAGES,
    P50,
    P95,
    WAL,
    WRITES,
)
from loadtests.choosing.laws import FEWEST_STEPS, MOST_HOP_MS, MOST_STEPS, Situation
from loadtests.choosing.model import Errors, Model
from loadtests.surveying.cells import Stack

LOAD_SLACK, REFUSAL_SLACK = 0.2, 0.01
"""Tolerances, as Poisson arrivals are not exactly as many as planned."""
GRID = 200
GROWTH = 1.02
"""From one load to the next on the grid, if that is more than one per second."""
STEPS, HOP, REFUSALS, LOAD = "steps", "hop_ms", "refusals", "load"
VARIED = (HOP, LOAD, STEPS, REFUSALS)
MARGIN = 2.0
"""Times the mean error, which covers nine in ten errors if they are normally distributed."""
DECIDED = (P50, P95, CPU)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`use`: the load as a share of `capacity`; from 1 on the pattern is overloaded, its latency
    infinite, and the other figures are as if it were not.

    `capacity`: checkouts per second. `is_at_least`: the true capacity may be higher, as the pattern
    was never saturated on some stacks; so with a `use` from 1 on the latency is unknown. `cpu_ms`:
    per checkout, without the idle load; `cores`: busy, with the idle load. The others are per
    second.
    """

    pattern: str
    p50_ms: float
    p95_ms: float
    capacity: float
    is_at_least: bool
    use: float
    cpu_ms: float
    cores: float
    messages: float
    http_calls: float
    wal_kb: float
    writes: float

    def of(self, *, figure: str) -> float:
        """One of the figures that are decided: p50, p95, CPU."""
        return {P50: self.p50_ms, P95: self.p95_ms, CPU: self.cpu_ms}[figure]


def forecast(*, model: Model, pattern: str, at: Situation) -> Forecast:
    """The model's forecast for one pattern."""

    def of(figure: str) -> float:
        return model.predict(figure=figure, pattern=pattern, at=at)

    use = at.load / of(CAPACITY)
    return Forecast(
        pattern=pattern,
        p50_ms=of(P50) if use < 1 else inf,
        p95_ms=max(of(P95), of(P50)) if use < 1 else inf,
        capacity=of(CAPACITY),
        is_at_least=bool(model.never_saturated(pattern=pattern)),
        use=use,
        cpu_ms=of(CPU),
        cores=(model.rest_cpu_ms + at.load * of(CPU)) / 1000,
        messages=at.load * of(MESSAGES),
        http_calls=at.load * of(HTTP_CALLS),
        wal_kb=at.load * of(WAL),
        writes=at.load * of(WRITES),
    )


def _warnings(
    *, stacks: Sequence[Stack], situation: Situation, forecasts: Sequence[Forecast]
) -> list[str]:
    """A sentence for each input outside the measured range, and for each overloaded pattern."""
    cells = [cell for stack in stacks for cell in stack.cells if not cell.is_full]
    loads = [cell.load for cell in cells]
    refused = [100 * (cell.refusals + REFUSAL_SLACK) for cell in cells]
    at, spots = situation, [stack.spot for stack in stacks]
    return [
        *[_too_much(situation, forecast) for forecast in forecasts if forecast.use >= 1],
        *_beyond(f"{at.steps:g} steps", at.steps, [spot.steps for spot in spots]),
        *_beyond(f"{at.hop_ms:g} ms per hop", at.hop_ms, [spot.hop_ms for spot in spots]),
        *_beyond(
            f"{at.load:g}/s",
            at.load,
            [min(loads) * (1 - LOAD_SLACK), *loads],
            beside=", besides full load",
        ),
        *_beyond(f"{at.refusals:.0%} declined", at.refusals * 100, [0.0, *refused]),
    ]


def _too_much(situation: Situation, forecast: Forecast) -> str:
    if forecast.is_at_least:
        return (
            f"{situation.load:g}/s is more than {forecast.pattern} is known to take: at least"
            f" {forecast.capacity:.0f}/s; it was not saturated, so it may take more"
        )
    most = f"about {forecast.capacity:.0f}/s"
    return f"{situation.load:g}/s is more than {forecast.pattern} can take: {most}"


def _beyond(
    input_name: str, value: float, measured: Sequence[float], *, beside: str = ""
) -> list[str]:
    low, high = min(measured), max(measured)
    if low <= value <= high:
        return []
    return [f"{input_name}: extrapolated, {low:.0f} to {high:.0f} were measured{beside}"]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Where the ranking turns. `at`: the value nearest to the situation's; None: nowhere from `low`
    to `high`. `then`: the pattern ahead beyond it. `is_clear`: by more than the model's error
    somewhere beyond it."""

    input: str
    low: float
    high: float
    at: float | None = None
    then: str = ""
    is_clear: bool = False


def turn(
    *,
    model: Model,
    figure: str,
    pair: tuple[str, str],
    at: Situation,
    varied: str,
    margin: float | None,
) -> Turn:
    """As the input `varied` changes, from a situation in which the first of the pair is ahead.
    `margin`: as in Choice."""
    values = _range(model, at, varied)
    now = getattr(at, varied)

    def ahead(value: float) -> float:
        """The lead of the second of the pair there, 0.1 is 10 %; negative if it is behind."""
        there = replace(at, **{varied: value})
        first, second = (
            forecast(model=model, pattern=pattern, at=there).of(figure=figure) for pattern in pair
        )
        return first / second - 1 if second < inf else -1.0

    is_guess = bool(model.never_saturated(pattern=pair[0]))

    def surely(value: float) -> float:
        """The same, but 0 where the first is only not known to take the load."""
        found = ahead(value)
        return 0.0 if is_guess and found == inf else found

    above, below = (
        [value for value in values if value > now],
        [value for value in values[::-1] if value < now],
    )
    turns = [found for side in (above, below) if (found := _passed(side, ahead))]
    if not turns:
        return Turn(input=varied, low=values[0], high=values[-1])
    beyond = min(turns, key=lambda turn: abs(turn[0] - now))
    return Turn(
        input=varied,
        low=values[0],
        high=values[-1],
        at=beyond[0],
        then=pair[1],
        is_clear=margin is not None and max(map(surely, beyond), default=0.0) > margin,
    )


def _passed(values: Sequence[float], ahead: Callable[[float], float]) -> list[float]:
    """The first run of values at which the second is ahead, or empty."""
    from_there = dropwhile(lambda value: not ahead(value) > 0, values)
    return list(takewhile(lambda value: ahead(value) > 0, from_there))


def _range(model: Model, at: Situation, varied: str) -> list[float]:
    if varied == STEPS:
        return [float(number) for number in range(FEWEST_STEPS, MOST_STEPS + 1)]
    if varied == HOP:
        return [MOST_HOP_MS * place / GRID for place in range(GRID + 1)]
    if varied == REFUSALS:
        return [place / GRID for place in range(GRID + 1)]
    most = min(model.predict(figure=CAPACITY, pattern=pattern, at=at) for pattern in model.patterns)
    return _loads(most)


def _loads(most: float) -> list[float]:
    """Whole numbers from 1 to what every pattern can take."""
    found, rate = [], 1.0
    while rate <= max(most, 2.0):
        found.append(float(int(rate)))
        rate = max(rate + 1, rate * GROWTH)
    return found


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The choice for one figure. `difference`: how much more `other`, the next best, is: 0.1 is
    10 %; infinite: it can't take the load or, unless `is_known`, is not known to take it. `margin`:
    the possible error of the difference; None: not known."""

    figure: str
    best: str
    other: str
    difference: float
    is_known: bool
    margin: float | None
    errors: Errors | None
    turns: Sequence[Turn]

    @property
    def is_decided(self) -> bool:
        return self.is_known and self.margin is not None and self.difference > self.margin


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer for a situation. `errors`: by figure and pattern, on held-out cells."""

    situation: Situation
    forecasts: Sequence[Forecast]
    choices: Sequence[Choice]
    errors: dict[str, dict[str, Errors | None]]
    warnings: Sequence[str]

    @property
    def taken(self) -> dict[str, list[str]]:
        """By pattern, the figures for which to choose it; empty without a clear difference."""
        found: dict[str, list[str]] = {}
        for choice in self.choices:
            if choice.is_decided:
                found.setdefault(choice.best, []).append(choice.figure)
        return found


def answer(*, model: Model, situation: Situation) -> Recommendation:
    """The model's answer for this situation."""
    forecasts = [forecast(model=model, pattern=pattern, at=situation) for pattern in model.patterns]
    figures = [figure for figure in DECIDED if figure == CPU or any(f.use < 1 for f in forecasts)]
    return Recommendation(
        situation=situation,
        forecasts=forecasts,
        choices=[
            _choice(model, figure, situation) for figure in figures if len(model.patterns) > 1
        ],
        errors={
            figure: {
                pattern: model.errors(figure=figure, pattern=pattern) for pattern in model.patterns
            }
            for figure in (*DECIDED, CAPACITY, MESSAGES, HTTP_CALLS, WAL)
        },
        warnings=_warnings(stacks=model.survey.stacks, situation=situation, forecasts=forecasts),
    )


def _choice(model: Model, figure: str, at: Situation) -> Choice:
    forecasts = {
        pattern: forecast(model=model, pattern=pattern, at=at) for pattern in model.patterns
    }
    amounts = {pattern: found.of(figure=figure) for pattern, found in forecasts.items()}
    best, other = sorted(amounts, key=lambda pattern: amounts[pattern])[:2]
    errors = model.errors_of_ratio(figure=figure, patterns=(best, other))
    margin = MARGIN * errors.mean if errors else None
    return Choice(
        figure=figure,
        best=best,
        other=other,
        difference=amounts[other] / amounts[best] - 1,
        is_known=isfinite(amounts[other]) or not forecasts[other].is_at_least,
        margin=margin,
        errors=errors,
        turns=[
            turn(
                model=model, figure=figure, pair=(best, other), at=at, varied=varied, margin=margin
            )
            for varied in VARIED
        ],
    )
