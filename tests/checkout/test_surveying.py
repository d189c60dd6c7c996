"""A small survey of the real shop: its cells have the offered load, and the measurements."""

import pytest

from loadtests.evaluating.results import Measured
from loadtests.running.bench import runner_on
from loadtests.surveying.cells import Cell, cell_of
from loadtests.surveying.grid import Spot, SurveySettings
from loadtests.surveying.survey import Ahead, MeasuredStack, caveats_of, measure

SPOT = Spot(steps=5, hop_ms=0)
SETTINGS = SurveySettings(
    patterns=("choreographed",), spots=[SPOT], loads=[20], refusals=[0.3], seconds=0.3, seed=1
)


@pytest.fixture(scope="module")
def surveyed(stack, tmp_path_factory) -> tuple[MeasuredStack, list[Measured], list[str]]:
    results: list[Measured] = []
    lines: list[str] = []
    folder = tmp_path_factory.mktemp("survey")
    with runner_on(stack=stack, name="survey", folder=folder, say=lines.append) as runner:
        ahead = Ahead(SETTINGS, [])
        taken = measure(
            runner=runner, spot=SPOT, ahead=ahead, done=results.append, say=lines.append
        )
    return taken, results, lines


@pytest.fixture(scope="module")
def cells(surveyed) -> list[Cell]:
    return [cell for result in surveyed[1] if (cell := cell_of(measured=result))]


def test_warm_up_makes_no_cell(surveyed, cells) -> None:
    assert [result.window.phase for result in surveyed[1]].count("warm-up") == 2
    assert len(cells) == len(surveyed[1]) - 2


def test_cell_has_the_refusals_that_were_asked_for(cells) -> None:
    for cell in cells:
        assert cell.refusals == pytest.approx(0.0 if cell.is_full else 0.3, abs=0.09)


def test_cell_has_what_its_checkouts_took(cells) -> None:
    for cell in cells:
        usual = 6 * (1 - cell.refusals) + 5 * cell.refusals
        assert cell.messages / cell.checkouts == pytest.approx(usual, abs=0.1)
        assert cell.cpu_ms > 0
        assert cell.wal_bytes > 0
        assert cell.writes > 0
        assert cell.http_calls >= cell.checkouts
        assert 0 < cell.p50_ms <= cell.p95_ms


def test_stack_at_rest_uses_less_than_one_that_is_busy(surveyed, cells) -> None:
    busiest = max(cell.cpu_ms / cell.measured_seconds for cell in cells)
    assert 0 <= surveyed[0].rest.cpu_ms < busiest


def test_survey_shows_its_progress_and_its_caveats(surveyed) -> None:
    assert surveyed[2][-1].endswith("0:05 left")
    assert "30% declined" in surveyed[2][-1]
    assert all(isinstance(caveat, str) for caveat in caveats_of(measured=surveyed[1]))
