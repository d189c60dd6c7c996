"""The recommended pattern follows from the survey only; the turning points are found."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf

import pytest

from loadtests.choosing.deciding import (
    HOP,
    LOAD,
    REFUSALS,
    STEPS,
    Choice,
    Recommendation,
    Turn,
    answer,
)
from loadtests.choosing.figures import CAPACITY, CPU, P50
from loadtests.choosing.laws import Situation, situation
from loadtests.choosing.model import Model, SurveySource
from loadtests.choosing.screen import advice, explained, screen
from tests.unit.loadtests.choosing.surveyed import (
    CHOREOGRAPHED,
    KNOWN,
    ORCHESTRATED,
    following,
    survey,
)

USUAL = Situation(steps=5, hop_ms=0, refusals=0, load=25)
PLENTY = (0.005, 0.001, 0.0001)
"""Both can take a hundred thousand per second, so that load causes no waiting."""


def _changed(**changes: dict[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    return {pattern: {**KNOWN[pattern], **changes[pattern]} for pattern in KNOWN}


def _choice(recommendation: Recommendation, figure: str) -> Choice:
    (choice,) = (each for each in recommendation.choices if each.figure == figure)
    return choice


def _turn(recommendation: Recommendation, figure: str, varied: str) -> Turn:
    (turn,) = (each for each in _choice(recommendation, figure).turns if each.input == varied)
    return turn


@pytest.fixture(scope="module")
def nearer() -> Model:
    """Choreographed saves 3 ms of work, and waits for batches that the hop holds up: at 3 ms a hop
    and 25 a second, 3 x 1.533 x 5 steps x 0.15 / 1.15 = 3 ms, so there they are even.
    """
    return Model(
        survey=survey(
            known=_changed(
                orchestrated={CAPACITY: PLENTY, P50: (5.0, 3.0, 1e-6, 1e-6, 1e-6)},
                choreographed={CAPACITY: PLENTY, P50: (2.0, 3.0, 1e-6, 1.533, 1e-6)},
            )
        )
    )


@pytest.fixture(scope="module")
def batched() -> Model:
    """Orchestrated: 4 ms + 20 shared; choreographed: 2 + 30. Even where a checkout pays a fifth
    of what is shared: four others in a cycle of 10 ms, 400 a second."""
    return Model(
        survey=survey(
            known=_changed(
                orchestrated={CAPACITY: PLENTY, CPU: (4, 1e-6, 20, 1e-6, 0.01, 1e-6, 1)},
                choreographed={CAPACITY: PLENTY, CPU: (2, 1e-6, 30, 1e-6, 0.01, 1e-6, 1)},
            )
        )
    )


def test_lower_latency_wins(nearer) -> None:
    choice = _choice(answer(model=nearer, situation=USUAL), P50)
    assert (choice.best, choice.other) == (CHOREOGRAPHED, ORCHESTRATED)
    assert choice.difference == pytest.approx(20 / 17 - 1, abs=0.01)
    assert choice.is_decided


def test_break_even_in_the_hop_is_found(nearer) -> None:
    turn = _turn(answer(model=nearer, situation=USUAL), P50, HOP)
    assert turn.at == pytest.approx(3, abs=0.3)
    assert turn.then == ORCHESTRATED


def test_break_even_is_found_from_beyond_it_too(nearer) -> None:
    turn = _turn(answer(model=nearer, situation=replace(USUAL, hop_ms=20)), P50, HOP)
    assert turn.at == pytest.approx(3, abs=0.3)
    assert turn.then == CHOREOGRAPHED


def test_break_even_in_the_load_is_found(batched) -> None:
    recommendation = answer(model=batched, situation=USUAL)
    assert _choice(recommendation, CPU).best == ORCHESTRATED
    turn = _turn(recommendation, CPU, LOAD)
    assert turn.at == pytest.approx(400, rel=0.05)
    assert turn.then == CHOREOGRAPHED
    assert turn.is_clear


def test_ranking_that_turns_nowhere_is_reported(batched) -> None:
    turn = _turn(answer(model=batched, situation=USUAL), CPU, STEPS)
    assert (turn.at, turn.low, turn.high) == (None, 3, 8)


def test_break_even_in_refusals_is_found() -> None:
    """A checkout costs 9 or 10 ms; a declined one twice as much, or the same: even at a ninth."""
    model = Model(
        survey=survey(
            known=_changed(
                orchestrated={CPU: (9, 1e-6, 1e-6, 1e-6, 0.01, 1e-6, 2)},
                choreographed={CPU: (10, 1e-6, 1e-6, 1e-6, 0.01, 1e-6, 1)},
            )
        )
    )
    turn = _turn(answer(model=model, situation=USUAL), CPU, REFUSALS)
    assert turn.at == pytest.approx(1 / 9, abs=0.01)


def test_difference_within_the_error_is_not_decided() -> None:
    same = dict.fromkeys(KNOWN, KNOWN[ORCHESTRATED])
    model = Model(survey=survey(known=same, noise=0.05))
    recommendation = answer(model=model, situation=USUAL)
    assert [choice.is_decided for choice in recommendation.choices] == [False, False, False]
    assert all(choice.margin > choice.difference for choice in recommendation.choices)
    assert (
        advice(answer=recommendation)
        == "Choose either: no difference is larger than the model's error."
    )


def test_advice_names_the_pattern_for_each_figure(nearer) -> None:
    assert "choreographed for p50 latency" in advice(answer=answer(model=nearer, situation=USUAL))


def test_other_pattern_is_taken_where_the_survey_has_them_swapped() -> None:
    """All knowledge of a pattern is in its cells."""
    swapped = {ORCHESTRATED: KNOWN[CHOREOGRAPHED], CHOREOGRAPHED: KNOWN[ORCHESTRATED]}
    as_is = answer(model=Model(survey=survey()), situation=USUAL)
    other = answer(model=Model(survey=survey(known=swapped)), situation=USUAL)
    for choice, opposite in zip(as_is.choices, other.choices, strict=True):
        assert (choice.best, choice.other) == (opposite.other, opposite.best)
        assert choice.difference == pytest.approx(opposite.difference, abs=0.01)


def test_cores_are_what_all_checkouts_and_the_rest_use() -> None:
    recommendation = answer(model=Model(survey=survey()), situation=replace(USUAL, load=100))
    for forecast in recommendation.forecasts:
        assert forecast.cores == pytest.approx((100 * forecast.cpu_ms + 20) / 1000, rel=1e-3)


def test_pattern_that_cannot_take_the_load_has_no_latency_and_loses() -> None:
    model = Model(survey=survey())
    capacities = {forecast.pattern: forecast.capacity for forecast in _usual(model).forecasts}
    between = sum(capacities.values()) / 2
    recommendation = answer(model=model, situation=replace(USUAL, load=between))
    slower = min(capacities, key=lambda pattern: capacities[pattern])
    assert _choice(recommendation, P50).other == slower
    assert isinf(_choice(recommendation, P50).difference)
    assert any(f"more than {slower} can take" in warning for warning in recommendation.warnings)


@pytest.fixture(scope="module")
def followed() -> Model:
    """The slower one was never saturated."""
    return Model(survey=following(base=survey(), pattern=ORCHESTRATED))


def _beyond(model: Model) -> Situation:
    """More than orchestrated is known to take, and less than choreographed can."""
    capacities = {forecast.pattern: forecast.capacity for forecast in _usual(model).forecasts}
    assert capacities[ORCHESTRATED] < capacities[CHOREOGRAPHED]
    return replace(USUAL, load=sum(capacities.values()) / 2)


def test_load_beyond_what_was_followed_decides_no_latency(followed) -> None:
    recommendation = answer(model=followed, situation=_beyond(followed))
    assert isinf(_choice(recommendation, P50).difference)
    assert not _choice(recommendation, P50).is_decided
    assert P50 not in recommendation.taken.get(CHOREOGRAPHED, [])
    text = screen(
        answer=recommendation,
        model=followed,
        source=SurveySource(survey=followed.survey, label="here"),
    )
    assert "p50 latency: not decided: orchestrated may not take this load (see below)" in text
    assert "can't take this load" not in text
    assert any(
        "more than orchestrated is known to take: at least" in warning
        for warning in recommendation.warnings
    )


def test_same_load_is_refused_where_the_pattern_was_saturated() -> None:
    model = Model(survey=survey())
    recommendation = answer(model=model, situation=_beyond(model))
    assert _choice(recommendation, P50).is_decided
    text = screen(
        answer=recommendation, model=model, source=SurveySource(survey=model.survey, label="here")
    )
    assert "choreographed; orchestrated can't take this load" in text
    assert "or more" not in text


def test_capacity_that_is_a_lower_bound_is_shown_as_one(followed) -> None:
    recommendation = answer(model=followed, situation=USUAL)
    assert {forecast.pattern: forecast.is_at_least for forecast in recommendation.forecasts} == {
        CHOREOGRAPHED: False,
        ORCHESTRATED: True,
    }
    text = screen(
        answer=recommendation,
        model=followed,
        source=SurveySource(survey=followed.survey, label="here"),
    )
    (row,) = (line for line in text.splitlines() if "can take at most" in line)
    assert row.split()[-4:-1] == ["400", "or", "more"]
    assert "was never saturated on" in text
    assert "at least that: never saturated on 5-steps-0-ms" in explained(model=followed)


def test_ranking_that_turns_where_capacity_is_not_known_is_no_clear_turn() -> None:
    """At many steps choreographed, which is faster, can't take the load, or is not known to."""
    capacity = {CAPACITY: (0.01, 0.5, 1e-6)}
    known = {
        ORCHESTRATED: {**KNOWN[ORCHESTRATED], CAPACITY: PLENTY, P50: (9.0, 9.0, 1e-6, 1e-6, 1e-6)},
        CHOREOGRAPHED: {**KNOWN[CHOREOGRAPHED], **capacity, P50: (1.0, 1.0, 1e-6, 1e-6, 1e-6)},
    }
    at = replace(USUAL, load=300)
    sure = answer(model=Model(survey=survey(known=known)), situation=at)
    unknown = following(base=survey(known=known), pattern=CHOREOGRAPHED)
    unsure = answer(model=Model(survey=unknown), situation=at)
    turns = [_turn(recommendation, P50, STEPS) for recommendation in (sure, unsure)]
    assert [turn.then for turn in turns] == [ORCHESTRATED, ORCHESTRATED]
    assert [turn.is_clear for turn in turns] == [True, False]


def test_load_that_no_pattern_can_take_has_no_answer_for_latency() -> None:
    recommendation = answer(model=Model(survey=survey()), situation=replace(USUAL, load=3000))
    assert [choice.figure for choice in recommendation.choices] == [CPU]


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({}, ""),
        ({"steps": 3}, "3 steps: extrapolated, 5 to 8 were measured"),
        ({"refusals": 0.5}, "50% declined: extrapolated"),
        ({"load": 3}, "3/s: extrapolated"),
    ],
)
def test_answer_says_where_it_goes_beyond_what_was_measured(changes, beginning) -> None:
    asked = situation(**{"steps": 5, "hop_ms": 0, "refusals": 0, "load": 25, **changes})
    recommendation = answer(model=Model(survey=survey()), situation=asked)
    assert len(recommendation.warnings) == bool(beginning)
    assert all(warning.startswith(beginning) for warning in recommendation.warnings)


def _usual(model: Model) -> Recommendation:
    return answer(model=model, situation=USUAL)


def test_best_of_three_patterns_is_ranked_against_the_next() -> None:
    slowest = {
        **KNOWN[CHOREOGRAPHED],
        CPU: (9, 2, 30, 8, 0.02, 0.0005, 1),
        P50: (50, 9, 0.5, 1, 1e-6),
    }
    recommendation = answer(
        model=Model(survey=survey(known={**KNOWN, "orchestrated_messaging": slowest})),
        situation=USUAL,
    )
    assert len(recommendation.forecasts) == 3
    for figure in (P50, CPU):
        choice = _choice(recommendation, figure)
        assert {choice.best, choice.other} == {ORCHESTRATED, CHOREOGRAPHED}
