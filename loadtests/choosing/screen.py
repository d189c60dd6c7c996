"""An answer on one screen of a terminal, and its model in words."""

from collections.abc import Callable, Sequence
from math import isinf

from loadtests.choosing.deciding import (
    DECIDED,
    HOP,
    LOAD,
    REFUSALS,
    STEPS,
    Choice,
    Forecast,
    Recommendation,
    Turn,
)
from loadtests.choosing.figures import CAPACITY, CPU, FIGURES, HTTP_CALLS, MESSAGES, P50, P95, WAL
from loadtests.choosing.laws import Situation
from loadtests.choosing.model import Errors, Model, SurveySource, machines
from loadtests.drawing import words
from loadtests.drawing.screen import WIDTH, wrapped

LABEL = 33
NAMES = {P50: "p50 latency", P95: "p95 latency", CPU: "cost (CPU)"}
LEAST = 0.001
"""In any unit, less than this is shown as 0."""
INPUTS = {HOP: "hop delay", LOAD: "load", STEPS: "steps", REFUSALS: "declined"}


def screen(*, answer: Recommendation, model: Model, source: SurveySource) -> str:
    """At most 45 lines of 79 columns: the advice, warnings, then figures."""
    lines = [
        "WHICH PATTERN  " + situation_in_words(at=answer.situation),
        wrapped(advice(answer=answer)),
        *[wrapped(_decision(choice)) for choice in answer.choices],
        *map(wrapped, warnings(answer=answer, model=model)),
        *_table(answer.forecasts),
        "WHERE THE RANKING TURNS, other inputs as above",
        *[
            wrapped(f"{NAMES[choice.figure]}: {_turns(choice, answer.situation)}")
            for choice in answer.choices
            if choice.figure in (P50, CPU)
        ],
        "ERROR OF THE MODEL on held-out measurements, mean / largest",
        *_errors(answer, model.patterns),
        "MADE FROM",
        wrapped(f"{source.label}: {model.survey.made_at[:10]}, seed {model.survey.settings.seed}"),
        *map(wrapped, machines(survey=model.survey)),
    ]
    return "\n".join(lines)


def advice(*, answer: Recommendation) -> str:
    """A recommendation, in a sentence."""
    taken = answer.taken
    if not taken:
        return "Choose either: no difference is larger than the model's error."
    parts = [
        f"{pattern} for {words.listed([NAMES[figure] for figure in figures])}"
        for pattern, figures in taken.items()
    ]
    if len(parts) == 1:
        return f"Choose {parts[0]}."
    return f"It depends on what matters: {words.listed(parts)}."


def situation_in_words(*, at: Situation) -> str:
    """On one line."""
    return (
        f"{at.steps:g} steps, {at.hop_ms:g} ms per hop, {at.refusals:.0%} declined,"
        f" {at.load:g} checkouts/s"
    )


def warnings(*, answer: Recommendation, model: Model) -> list[str]:
    """Extrapolations, and doubts about the survey, each after "warning:"."""
    with_caveats = [stack.spot.name for stack in model.survey.stacks if stack.caveats]
    caveats = (
        [f"caveats of the survey (see its file): {', '.join(with_caveats)}"] if with_caveats else []
    )
    followed = [
        f"{pattern} was never saturated on {words.listed(found)}, so its capacity may be higher"
        for pattern in model.patterns
        if (found := model.never_saturated(pattern=pattern))
    ]
    return [f"warning: {warning}" for warning in (*answer.warnings, *followed, *caveats)]


def explained(*, model: Model) -> str:
    """Every law with its parameters, by pattern."""
    lines = []
    for figure in FIGURES:
        lines.append(f"{figure.name}, {figure.law(model.patterns[0]).unit}")
        for pattern in model.patterns:
            fit = model.fit_of(figure=figure.name, pattern=pattern)
            lines.append(f"  {pattern}" + ("" if fit.values else ": none"))
            if figure.name == CAPACITY and (found := model.never_saturated(pattern=pattern)):
                lines.append(f"    at least that: never saturated on {words.listed(found)}")
            for parameter, value in zip(fit.law.parameters, fit.values or (), strict=False):
                lines.append(
                    f"    {parameter.name:<44}{_number(value):>10} {parameter.unit}".rstrip()
                )
    return "\n".join(lines)


def _decision(choice: Choice) -> str:
    name = NAMES[choice.figure]
    if not choice.is_known:
        return f"{name}: not decided: {choice.other} may not take this load (see below)"
    if isinf(choice.difference):
        return f"{name}: {choice.best}; {choice.other} can't take this load"
    if choice.margin is None:
        return f"{name}: not decided: no held-out measurement shows the model's error"
    error = f"model error {choice.margin:.1%}"
    if not choice.is_decided:
        return f"{name}: not decided: {choice.other} {choice.difference:.1%} more, {error}"
    return f"{name}: {choice.best}; {choice.other} {choice.difference:.1%} more ({error})"


def _table(forecasts: Sequence[Forecast]) -> list[str]:
    rows: list[tuple[str, Callable[[Forecast], str]]] = [
        ("p50 latency, ms", lambda at: _number(at.p50_ms)),
        ("p95 latency, ms", lambda at: _number(at.p95_ms)),
        ("CPU per checkout, ms", lambda at: _number(at.cpu_ms)),
        ("busy cores (idle load included)", lambda figures: _number(figures.cores)),
        ("can take at most, checkouts/s", _capacity),
        ("messages/s", lambda at: _number(at.messages)),
        ("HTTP calls/s", lambda at: _number(at.http_calls)),
        ("WAL, kB/s", lambda at: _number(at.wal_kb)),
        ("writing transactions/s", lambda at: _number(at.writes)),
    ]
    return [
        _line("WHAT TO EXPECT", [words.short_name_of(forecast.pattern) for forecast in forecasts]),
        *[_line(f"  {name}", [of(forecast) for forecast in forecasts]) for name, of in rows],
    ]


def _capacity(forecast: Forecast) -> str:
    return _number(forecast.capacity) + (" or more" if forecast.is_at_least else "")


def _turns(choice: Choice, at: Situation) -> str:
    return "; ".join(_turn(turn, getattr(at, turn.input)) for turn in choice.turns)


def _turn(turn: Turn, now: float) -> str:
    """`now`: the value in the situation."""
    name = INPUTS[turn.input]
    if turn.at is None:
        return f"same for any {name} from {_span(turn)}"
    side = "below" if turn.at < now else "above"
    doubt = "" if turn.is_clear else " (by less than the error)"
    return f"{turn.then} for {name} {side} {_value(turn.input, turn.at)}{doubt}"


def _span(turn: Turn) -> str:
    low, high = (_value(turn.input, bound) for bound in (turn.low, turn.high))
    return f"{low.removesuffix(' ms').removesuffix('/s')} to {high}"


def _value(name: str, value: float) -> str:
    if name == REFUSALS:
        return f"{value:.0%}"
    return f"{value:.3g}" + {HOP: " ms", LOAD: "/s", STEPS: ""}[name]


def _errors(answer: Recommendation, patterns: Sequence[str]) -> list[str]:
    rows = (*DECIDED, CAPACITY, MESSAGES, HTTP_CALLS, WAL)
    return [
        _line(f"  {NAMES.get(row, row)}", [_error(answer.errors[row][name]) for name in patterns])
        for row in rows
    ]


def _error(errors: Errors | None) -> str:
    return f"{errors.mean:.0%} / {errors.largest:.0%}" if errors else "-"


def _line(label: str, cells: Sequence[str]) -> str:
    column = (WIDTH - LABEL) // max(len(cells), 1)
    return label.ljust(LABEL) + "".join(cell[: column - 1].rjust(column) for cell in cells)


def _number(value: float) -> str:
    if isinf(value):
        return "-"
    if value < LEAST:
        return "0"
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2g}"
