"""Which pattern to take in a situation, by how much, and where the ranking turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from loadtests.choosing import limits
from loadtests.choosing.figures import CAPACITY, CPU, HTTP_CALLS, MESSAGES, P50, P95, WAL
from loadtests.choosing.forecasting import Forecast, forecast
from loadtests.choosing.model import Errors, Model
from loadtests.choosing.situations import Situation
from loadtests.choosing.turning import VARIED, Turn, turn

MARGIN = 2.0
"""Times the mean error: nine errors in ten are smaller, if they are spread normally."""
DECIDED = (P50, P95, CPU)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Of one figure. `difference`: by how much `other`, the next best, is more: 0.1 is 10 %;
    infinite: it can't take the load, or, where `is_known` is not so, is not known to take it.
    `margin`: how much that may be off. None: not known."""

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
class Answer:
    """All that is said of a situation. `errors`: of each figure, by pattern, on held-out cells."""

    situation: Situation
    forecasts: Sequence[Forecast]
    choices: Sequence[Choice]
    errors: dict[str, dict[str, Errors | None]]
    warnings: Sequence[str]

    @property
    def taken(self) -> dict[str, list[str]]:
        """By pattern, the figures for which it is to be taken; none: it makes no difference that
        the model could tell."""
        found: dict[str, list[str]] = {}
        for one in self.choices:
            if one.is_decided:
                found.setdefault(one.best, []).append(one.figure)
        return found


def answer(*, model: Model, situation: Situation) -> Answer:
    """The answer for this situation, from this model alone."""
    forecasts = [forecast(model=model, pattern=one, at=situation) for one in model.patterns]
    figures = [one for one in DECIDED if one == CPU or any(f.use < 1 for f in forecasts)]
    return Answer(
        situation=situation,
        forecasts=forecasts,
        choices=[_choice(model, one, situation) for one in figures if len(model.patterns) > 1],
        errors={
            figure: {
                pattern: model.errors(figure=figure, pattern=pattern) for pattern in model.patterns
            }
            for figure in (*DECIDED, CAPACITY, MESSAGES, HTTP_CALLS, WAL)
        },
        warnings=limits.warnings(
            stacks=model.survey.stacks, situation=situation, forecasts=forecasts
        ),
    )


def _choice(model: Model, figure: str, at: Situation) -> Choice:
    forecasts = {one: forecast(model=model, pattern=one, at=at) for one in model.patterns}
    amounts = {one: found.of(figure=figure) for one, found in forecasts.items()}
    best, other = sorted(amounts, key=lambda one: amounts[one])[:2]
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
            turn(model=model, figure=figure, pair=(best, other), at=at, varied=one, margin=margin)
            for one in VARIED
        ],
    )
