"""The model finds the laws behind a survey, and its error on measurements that were not fitted."""

from dataclasses import replace

import pytest

from loadtests.choosing import laws
from loadtests.choosing.figures import CAPACITY, CPU, FIGURES, HTTP_CALLS, MESSAGES, P50, WAL
from loadtests.choosing.laws import Situation
from loadtests.choosing.model import Model, can_be_fitted
from loadtests.surveying import grid
from loadtests.surveying.cells import NotASurvey
from tests.unit.loadtests.choosing.surveyed import (
    CHOREOGRAPHED,
    KNOWN,
    ORCHESTRATED,
    REST_MS,
    following,
    survey,
)

BETWEEN = Situation(steps=6, hop_ms=12, refusals=0.1, load=50)
TWO = (ORCHESTRATED, CHOREOGRAPHED)


@pytest.fixture(scope="module")
def exact() -> Model:
    return Model(survey=survey())


@pytest.fixture(scope="module")
def noisy() -> Model:
    return Model(survey=survey(noise=0.05))


def _true(figure: str, pattern: str, at: Situation) -> float:
    (law,) = (fitted.law(pattern) for fitted in FIGURES if fitted.name == figure)
    use = at.load / laws.capacity(KNOWN[pattern][CAPACITY], at, 0.0)
    return law.value(KNOWN[pattern][figure], at, use)


@pytest.mark.parametrize("figure", [figure.name for figure in FIGURES])
@pytest.mark.parametrize("pattern", TWO)
def test_figure_is_predicted_where_nothing_was_measured(exact, figure, pattern) -> None:
    predicted = exact.predict(figure=figure, pattern=pattern, at=BETWEEN)
    assert predicted == pytest.approx(_true(figure, pattern, BETWEEN), rel=0.02, abs=1e-6)


@pytest.mark.parametrize("figure", [CAPACITY, CPU, P50, HTTP_CALLS, WAL])
@pytest.mark.parametrize("pattern", TWO)
def test_figure_is_predicted_from_noisy_cells(noisy, figure, pattern) -> None:
    predicted = noisy.predict(figure=figure, pattern=pattern, at=BETWEEN)
    assert predicted == pytest.approx(_true(figure, pattern, BETWEEN), rel=0.07)


def test_parameters_are_those_that_the_cells_were_made_with(exact) -> None:
    for figure in (CAPACITY, P50, WAL):
        values = exact.fit_of(figure=figure, pattern=CHOREOGRAPHED).values
        assert values == pytest.approx(KNOWN[CHOREOGRAPHED][figure], rel=0.02)


def test_pattern_without_messages_has_none(exact) -> None:
    assert exact.predict(figure=MESSAGES, pattern=ORCHESTRATED, at=BETWEEN) == 0


def test_use_at_rest_is_no_part_of_a_checkout(exact) -> None:
    assert exact.rest_cpu_ms == pytest.approx(REST_MS)
    alone = Situation(steps=5, hop_ms=0, refusals=0, load=0.01)
    assert exact.predict(figure=CPU, pattern=ORCHESTRATED, at=alone) == pytest.approx(24.5, rel=0.1)


def test_error_is_that_of_the_cells_that_were_held_out() -> None:
    """They cost a quarter more than by the laws, so the model is a fifth below them."""
    model = Model(survey=survey(held_out_off=0.25))
    errors = model.errors(figure=CPU, pattern=ORCHESTRATED)
    assert errors is not None
    assert errors.mean == pytest.approx(0.2, abs=0.01)
    assert errors.largest == pytest.approx(0.2, abs=0.02)
    assert errors.cells == 2 * 5
    p50 = model.errors(figure=P50, pattern=ORCHESTRATED)
    assert p50 is not None
    assert p50.largest < 0.02


def test_error_is_that_of_the_mean_of_a_cell_s_visits() -> None:
    """The same cells cost a fifth more in one visit and a fifth less in the other, and not even as
    many came."""
    usual, dear, cheap = (survey(held_out_off=off) for off in (0, 0.2, -0.2))
    fitted = [stack for stack in usual.stacks if not stack.spot.is_held_out]
    visits = [
        replace(
            stack,
            spot=replace(stack.spot, visit=visit),
            cells=[
                replace(
                    cell, asked=f"{cell.load} {cell.refusals}", load=cell.load * (1 + visit / 99)
                )
                for cell in stack.cells
            ],
        )
        for visit, visited in ((1, dear), (2, cheap))
        for stack in visited.stacks
        if stack.spot.is_held_out
    ]
    both = Model(survey=replace(usual, stacks=[*fitted, *visits]))
    first = Model(survey=replace(usual, stacks=[*fitted, *visits[:2]]))
    for pattern in TWO:
        mean_of_both = both.errors(figure=CPU, pattern=pattern)
        assert mean_of_both is not None
        assert mean_of_both.cells == 2 * 5
        assert mean_of_both.largest < 0.03
        assert first.errors(figure=CPU, pattern=pattern).mean > 0.15


def test_capacity_is_at_least_what_was_followed_where_nothing_saturated_the_pattern(exact) -> None:
    model = Model(survey=following(base=survey(), pattern=ORCHESTRATED))
    assert model.never_saturated(pattern=ORCHESTRATED) == [spot.place for spot in grid.FITTED]
    assert model.never_saturated(pattern=CHOREOGRAPHED) == []
    assert exact.never_saturated(pattern=ORCHESTRATED) == []


def test_rush_of_outcomes_is_no_capacity() -> None:
    """For a while it ended twice as many per second as were offered."""
    followed = following(base=survey(), pattern=ORCHESTRATED)
    rushed = [
        replace(
            stack,
            cells=[
                replace(cell, ended_per_second=cell.ended_per_second * (1 + cell.is_full))
                for cell in stack.cells
                if cell.pattern == ORCHESTRATED
            ],
        )
        for stack in followed.stacks
    ]
    settings = replace(followed.settings, patterns=[ORCHESTRATED])
    model = Model(survey=replace(followed, stacks=rushed, settings=settings))
    predicted = model.predict(figure=CAPACITY, pattern=ORCHESTRATED, at=BETWEEN)
    assert predicted == pytest.approx(_true(CAPACITY, ORCHESTRATED, BETWEEN), rel=0.02)


@pytest.mark.parametrize(("share", "is_error"), [(0.5, False), (2.0, True)])
def test_held_out_lower_bound_is_an_error_only_where_less_is_predicted(share, is_error) -> None:
    usual = survey()
    bounds = [
        replace(
            stack,
            cells=[
                replace(cell, ended_per_second=cell.load * share, load=cell.load * share)
                if cell.is_full
                else cell
                for cell in stack.cells
            ],
        )
        for stack in following(base=usual, pattern=ORCHESTRATED).stacks
        if stack.spot.is_held_out
    ]
    fitted = [stack for stack in usual.stacks if not stack.spot.is_held_out]
    model = Model(survey=replace(usual, stacks=[*fitted, *bounds]))
    errors = model.errors(figure=CAPACITY, pattern=ORCHESTRATED)
    assert (errors is not None) == is_error


def test_error_of_a_ratio_leaves_out_what_moves_both_patterns_alike() -> None:
    model = Model(survey=survey(held_out_off=0.25))
    errors = model.errors_of_ratio(figure=CPU, patterns=TWO)
    assert errors is not None
    assert errors.largest < 0.02
    assert errors.cells == 2 * 5


def test_error_grows_with_the_noise(exact, noisy) -> None:
    calm, wild = (model.errors(figure=CPU, pattern=CHOREOGRAPHED) for model in (exact, noisy))
    assert calm.mean < 0.01 < 0.02 < wild.mean < 0.08


def test_one_disturbed_window_does_not_bend_the_model() -> None:
    usual = survey()
    first, *others = usual.stacks[0].cells
    wild = replace(first, cpu_ms=first.cpu_ms * 4)
    stack = replace(usual.stacks[0], cells=[wild, *others])
    model = Model(survey=replace(usual, stacks=[stack, *usual.stacks[1:]]))
    predicted = model.predict(figure=CPU, pattern=ORCHESTRATED, at=BETWEEN)
    assert predicted == pytest.approx(_true(CPU, ORCHESTRATED, BETWEEN), rel=0.08)


def test_windows_whose_generator_was_late_are_no_measure_of_latency() -> None:
    """Without them there are too few to fit."""
    usual = survey()
    late = [
        replace(stack, cells=[replace(cell, lag_p99_ms=500.0) for cell in stack.cells])
        for stack in usual.stacks
    ]
    with pytest.raises(NotASurvey, match="p50 of orchestrated: only 0 cells measure it"):
        Model(survey=replace(usual, stacks=late))


def test_survey_needs_two_lengths_two_distances_and_something_held_out() -> None:
    stacks = survey().stacks
    assert can_be_fitted(stacks=stacks)
    assert not can_be_fitted(stacks=stacks[: len(grid.FITTED)])
    assert not can_be_fitted(stacks=[stack for stack in stacks if stack.spot.steps != 8])
    assert not can_be_fitted(stacks=[stack for stack in stacks if stack.spot.hop_ms != 50])
