"""Where the ranking of two patterns turns as one input changes and the others stay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

from loadtests.choosing.figures import CAPACITY
from loadtests.choosing.forecasting import forecast
from loadtests.choosing.model import Model
from loadtests.choosing.situations import FEWEST_STEPS, MOST_HOP_MS, MOST_STEPS, Situation

GRID = 200
GROWTH = 1.02
"""From one load to the next that is looked at, where that is more than one a second."""
STEPS, HOP, REFUSALS, LOAD = "steps", "hop_ms", "refusals", "load"
VARIED = (HOP, LOAD, STEPS, REFUSALS)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """`at`: nearest to what was asked; None: nowhere from `low` to `high`. `then`: who is ahead
    beyond it. `is_clear`: by more than the model's error somewhere beyond it."""

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
    """As one input changes, from where the first of the pair is ahead; `margin`: as of a choice."""
    values = _range(model, at, varied)
    now = getattr(at, varied)

    def ahead(value: float) -> float:
        """By how much the second of the pair is ahead there, 0.1 is 10 %; below 0: it is not."""
        there = replace(at, **{varied: value})
        first, second = (
            forecast(model=model, pattern=one, at=there).of(figure=figure) for one in pair
        )
        return first / second - 1 if second < inf else -1.0

    is_guess = bool(model.never_saturated(pattern=pair[0]))

    def surely(value: float) -> float:
        """The same, but for where the first is only not known to take the load."""
        found = ahead(value)
        return 0.0 if is_guess and found == inf else found

    above, below = [one for one in values if one > now], [one for one in values[::-1] if one < now]
    turns = [found for side in (above, below) if (found := _passed(side, ahead))]
    if not turns:
        return Turn(input=varied, low=values[0], high=values[-1])
    beyond = min(turns, key=lambda one: abs(one[0] - now))
    return Turn(
        input=varied,
        low=values[0],
        high=values[-1],
        at=beyond[0],
        then=pair[1],
        is_clear=margin is not None and max(map(surely, beyond), default=0.0) > margin,
    )


def _passed(values: Sequence[float], ahead: Callable[[float], float]) -> list[float] | None:
    """The first of these values at which the second is ahead, and those after it until it is not
    any more; None where it never is."""
    is_ahead = [ahead(one) > 0 for one in values]
    if True not in is_ahead:
        return None
    first = is_ahead.index(True)
    until = is_ahead.index(False, first) if False in is_ahead[first:] else len(values)
    return list(values[first:until])


def _range(model: Model, at: Situation, varied: str) -> list[float]:
    if varied == STEPS:
        return [float(one) for one in range(FEWEST_STEPS, MOST_STEPS + 1)]
    if varied == HOP:
        return [MOST_HOP_MS * place / GRID for place in range(GRID + 1)]
    if varied == REFUSALS:
        return [place / GRID for place in range(GRID + 1)]
    most = min(model.predict(figure=CAPACITY, pattern=one, at=at) for one in model.patterns)
    return _loads(most)


def _loads(most: float) -> list[float]:
    """Whole numbers from 1 to what either pattern can take."""
    found, one = [], 1.0
    while one <= max(most, 2.0):
        found.append(float(int(one)))
        one = max(one + 1, one * GROWTH)
    return found
