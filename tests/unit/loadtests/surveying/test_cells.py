"""A window as a cell of a survey, and the survey's file."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.load.windows import Mix, WindowPhase
from loadtests.measuring import samples
from loadtests.surveying import cells
from loadtests.surveying.cells import Cell, NotASurvey, cell_of
from tests.unit.loadtests.builders import cost, measured, sample, window
from tests.unit.loadtests.choosing.surveyed import survey


def _cell(latencies: list[float], **options) -> Cell:
    cell = cell_of(
        measured=measured(of=window(phase=WindowPhase.CELL), latencies=latencies, **options)
    )
    assert cell is not None
    return cell


def test_compensated_checkouts_are_refusals_and_no_part_of_the_latency() -> None:
    undone = [sample(latency=9.0, outcome=samples.COMPENSATED)] * 10
    cell = _cell([0.02] * 30, more=undone)
    assert (cell.refusals, cell.checkouts, cell.p95_ms) == (0.25, 40, pytest.approx(20))


def test_amounts_are_of_the_whole_window_without_the_generator() -> None:
    cell = _cell([0.02] * 30, costs=cost(seconds=4, shop_ms=300, generator_ms=99))
    assert (cell.cpu_ms, cell.measured_seconds, cell.messages) == (300, 4, 70)


def test_cell_has_the_load_that_was_asked_for_however_many_came_by_chance() -> None:
    of = replace(window(phase=WindowPhase.CELL, rate=43), share=0.4, mix=Mix(declined=0.15))
    shared = cell_of(measured=measured(of=of, latencies=[0.02] * 80))
    assert shared is not None
    assert shared.asked == "0.4 of the most, 15% declined"
    assert (_cell([0.02] * 48).asked, _cell([0.02] * 53).asked) == ("25/s, 0% declined",) * 2


def test_latency_that_grows_makes_a_window_unsteady() -> None:
    assert _cell([0.02 + n % 3 / 1000 for n in range(48)]).is_steady
    assert not _cell([0.02 + n / 1000 for n in range(48)]).is_steady


def test_distance_alone_makes_no_saturation() -> None:
    """48 in 2 s, each a second later than without the hop."""
    cell = _cell([1.0] * 48)
    assert cell.ended_per_second == pytest.approx(cell.load, rel=0.05)
    assert not cell.is_saturated


def test_pattern_that_ends_half_of_what_is_offered_is_saturated() -> None:
    cell = _cell([n / 25 for n in range(48)])
    assert cell.is_saturated
    assert cell.ended_per_second == pytest.approx(12.5, rel=0.05)


def test_window_without_a_completed_checkout_makes_no_cell() -> None:
    lost = [sample(ended=False)] * 3
    of = window(phase=WindowPhase.CELL)
    assert cell_of(measured=measured(of=of, latencies=[], more=lost)) is None


def test_survey_is_read_as_it_was_written(tmp_path) -> None:
    path = tmp_path / cells.FILE
    cells.write(path=path, survey=survey())
    again = tmp_path / "again.json"
    cells.write(path=again, survey=cells.read(path=path))
    assert cells.read(path=again) == cells.read(path=path)
    assert cells.read(path=path).stacks[0].cells[0] == survey().stacks[0].cells[0]


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]"])
def test_file_that_is_no_survey_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / cells.FILE
    path.write_text(text)
    with pytest.raises(NotASurvey, match="has no survey that can be read"):
        cells.read(path=path)
