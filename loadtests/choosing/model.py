"""The model: each pattern's laws, fitted to the stacks of a survey that are not held out; its
errors are those on the held-out stacks. `source` finds the survey.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from loadtests.choosing.figures import CAPACITY, FIGURES, ModelledFigure, Point, points
from loadtests.choosing.laws import Law, Situation
from loadtests.evaluating.fitting import fitted
from loadtests.surveying import cells
from loadtests.surveying.cells import FILE, NotASurvey, Stack, Survey
from loadtests.surveying.survey import SURVEYS

MOST_USE = 0.95
"""Capacity is known to a few per cent: a use above this may be an overload."""
NOTHING = 0.05
"""Per checkout: a figure below this in every cell (messages, if orchestrated) is 0."""
SHIPPED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Relative errors on held-out cells: 0.1 is 10 %. `cells`: their number."""

    mean: float
    largest: float
    cells: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One figure of one pattern. `values`: of the law's parameters; None: the figure is 0."""

    law: Law
    values: Sequence[float] | None

    def at(self, situation: Situation, *, use: float) -> float:
        """The prediction; `use`: the load as a share of the pattern's capacity there."""
        return self.law.value(self.values, situation, use) if self.values else 0.0


class Model:
    """The fitted laws of all patterns of a survey."""

    def __init__(self, *, survey: Survey) -> None:
        """Raises NotASurvey if it has too little to fit."""
        self.survey = survey
        self.patterns = list(survey.settings.patterns)
        self._seen = [stack for stack in survey.stacks if not stack.spot.is_held_out]
        self._held_out = [stack for stack in survey.stacks if stack.spot.is_held_out]
        self._fits: dict[tuple[str, str], Fit] = {}
        for pattern in self.patterns:
            for figure in FIGURES:
                self._fits[figure.name, pattern] = self._fit(figure, pattern)

    @property
    def rest_cpu_ms(self) -> float:
        """Of the idle shop, per second."""
        return mean(stack.rest.cpu_ms for stack in self.survey.stacks)

    def predict(self, *, figure: str, pattern: str, at: Situation) -> float:
        """In the unit of the figure's law; a load above the capacity counts as the capacity."""
        return self._fits[figure, pattern].at(at, use=self.use(pattern=pattern, at=at))

    def use(self, *, pattern: str, at: Situation) -> float:
        """The load as a share of the pattern's capacity there, at most MOST_USE."""
        return min(at.load / self._fits[CAPACITY, pattern].at(at, use=0.0), MOST_USE)

    def fit_of(self, *, figure: str, pattern: str) -> Fit:
        """The law with its parameters."""
        return self._fits[figure, pattern]

    def never_saturated(self, *, pattern: str) -> list[str]:
        """The fitted stacks on which the pattern always kept up: if there is one, the predicted
        capacity is a lower bound."""
        return [
            str(point.key[0])
            for point in points(figure=_figure(CAPACITY), stacks=self._seen, pattern=pattern)
            if point.is_at_least
        ]

    def errors(self, *, figure: str, pattern: str) -> Errors | None:
        """None if no held-out cell measures the figure, or it is 0."""
        found = self._compared(figure, pattern)
        return _errors([predicted / real - 1 for predicted, real in found.values() if real])

    def errors_of_ratio(self, *, figure: str, patterns: tuple[str, str]) -> Errors | None:
        """The error of the ratio of two patterns' figures, from which whatever affects both alike
        (a slow minute of the machine) cancels out. None as for `errors`."""
        this, other = (self._compared(figure, pattern) for pattern in patterns)
        ratios = [
            (this[key][0] / other[key][0]) / (this[key][1] / other[key][1]) - 1
            for key in this.keys() & other.keys()
            if this[key][1] and all(other[key])
        ]
        return _errors(ratios)

    def _compared(self, figure: str, pattern: str) -> dict[tuple[object, ...], tuple[float, float]]:
        """Predicted and measured, by held-out cell, each the mean of its visits; without cells
        whose measured value is a lower bound, and predicted to be higher."""
        visits: dict[tuple[object, ...], list[Point]] = {}
        for point in points(figure=_figure(figure), stacks=self._held_out, pattern=pattern):
            visits.setdefault(point.key, []).append(point)
        found = {}
        for key, seen in visits.items():
            fit = self._fits[figure, pattern]
            predicted = mean(fit.at(point.at, use=self._use(pattern, point)) for point in seen)
            measured = mean(point.value for point in seen)
            if predicted < measured or not any(point.is_at_least for point in seen):
                found[key] = (predicted, measured)
        return found

    def _use(self, pattern: str, point: Point) -> float:
        is_known = (CAPACITY, pattern) in self._fits
        return self.use(pattern=pattern, at=point.at) if is_known and not point.is_full else 1.0

    def _fit(self, figure: ModelledFigure, pattern: str) -> Fit:
        law = figure.law(pattern)
        seen = points(figure=figure, stacks=self._seen, pattern=pattern)
        if seen and max(point.value for point in seen) < NOTHING:
            return Fit(law=law, values=None)
        if len(seen) < len(law.parameters):
            raise NotASurvey(
                f"{figure.name} of {pattern}: only {len(seen)} cells measure it, but its law has"
                f" {len(law.parameters)} parameters: measure again on an idle machine, or name"
                " another survey"
            )
        uses = [self._use(pattern, point) for point in seen]
        return Fit(
            law=law,
            values=fitted(
                law=lambda values: [
                    law.value(values, point.at, use) for point, use in zip(seen, uses, strict=True)
                ],
                measured=[point.value for point in seen],
                start=[parameter.start for parameter in law.parameters],
            ),
        )


def _figure(name: str) -> ModelledFigure:
    (found,) = (figure for figure in FIGURES if figure.name == name)
    return found


def can_be_fitted(*, stacks: Sequence[Stack]) -> bool:
    """Whether there are two numbers of steps, two hop delays, and a held-out stack."""
    seen = [stack.spot for stack in stacks if not stack.spot.is_held_out]
    return (
        len({spot.steps for spot in seen}) > 1
        and len({spot.hop_ms for spot in seen}) > 1
        and len(seen) < len(stacks)
    )


def _errors(found: Sequence[float]) -> Errors | None:
    if not found:
        return None
    sizes = [abs(error) for error in found]
    return Errors(mean=mean(sizes), largest=max(sizes), cells=len(sizes))


@dataclass(frozen=True, kw_only=True)
class SurveySource:
    """A survey, and its origin in words."""

    survey: Survey
    label: str


def source(*, named: Path | None, own: Path = SURVEYS) -> SurveySource:
    """The survey in the folder (or file) that is `named`; else the newest complete one in `own`;
    else the shipped one. Raises NotASurvey."""
    if named:
        path = named / FILE if named.is_dir() else named
        return SurveySource(survey=_usable(path), label=f"{path}, as asked")
    for path in sorted(own.glob(f"*/{FILE}"), reverse=True):
        found = _read(path)
        if found and _is_whole(found):
            return SurveySource(survey=found, label=f"your own newest survey, {path}")
    return SurveySource(
        survey=_usable(SHIPPED), label="the survey that comes with Dueto, of another machine"
    )


def _usable(path: Path) -> Survey:
    survey = cells.read(path=path)
    if not can_be_fitted(stacks=survey.stacks):
        raise NotASurvey(
            f"{path}: too little data; it needs stacks with two numbers of steps and two hop"
            " delays, and one that is held out"
        )
    return survey


def _read(path: Path) -> Survey | None:
    """None for a survey that this version can't read, as there may be others."""
    try:
        return cells.read(path=path)
    except NotASurvey:
        return None


def _is_whole(survey: Survey) -> bool:
    measured = [stack.spot for stack in survey.stacks if not stack.was_stopped]
    return measured == list(survey.settings.spots) and can_be_fitted(stacks=survey.stacks)


def machines(*, survey: Survey) -> Iterable[str]:
    """The machines it was measured on, each once."""
    return dict.fromkeys(stack.environment.get("machine", "unknown") for stack in survey.stacks)
