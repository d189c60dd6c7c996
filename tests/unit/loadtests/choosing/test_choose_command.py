"""`manage.py choose` as a user runs it."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loadtests.choosing import model
from loadtests.choosing.model import SHIPPED, source
from loadtests.surveying import cells
from loadtests.surveying.cells import FILE, Survey
from tests.unit.loadtests.choosing.surveyed import (
    CHOREOGRAPHED,
    ORCHESTRATED,
    following,
    survey,
)

OTHER = {ORCHESTRATED: CHOREOGRAPHED, CHOREOGRAPHED: ORCHESTRATED}


def _output(*arguments: str) -> str:
    out = StringIO()
    call_command("choose", *arguments, stdout=out)
    return out.getvalue()


def _kept(folder: Path, made: Survey) -> Path:
    folder.mkdir(parents=True)
    cells.write(path=folder / FILE, survey=made)
    return folder


@pytest.fixture(scope="module")
def shipped() -> Survey:
    return cells.read(path=SHIPPED)


def test_answer_comes_from_the_shipped_survey() -> None:
    """Swapped rows give a swapped answer: the code does not favour a pattern."""
    answer = json.loads(_output("--survey", str(SHIPPED), "--json"))
    assert {forecast["pattern"] for forecast in answer["forecasts"]} == {
        ORCHESTRATED,
        CHOREOGRAPHED,
    }
    assert all(
        forecast["cpu_ms"] > 0 and forecast["p50_ms"] > 0 for forecast in answer["forecasts"]
    )


def test_answer_is_swapped_where_the_shipped_survey_is(shipped, tmp_path) -> None:
    stacks = [
        replace(stack, cells=[replace(cell, pattern=OTHER[cell.pattern]) for cell in stack.cells])
        for stack in shipped.stacks
    ]
    folder = _kept(tmp_path / "swapped", replace(shipped, stacks=stacks))
    as_is = json.loads(_output("--survey", str(SHIPPED), "--json"))
    swapped = json.loads(_output("--survey", str(folder), "--json"))
    costs, others = (
        {forecast["pattern"]: forecast["cpu_ms"] for forecast in answer["forecasts"]}
        for answer in (as_is, swapped)
    )
    assert costs == pytest.approx({OTHER[pattern]: cost for pattern, cost in others.items()})
    best, best_of_swapped = (
        next(choice["best"] for choice in answer["choices"] if choice["figure"] == "CPU")
        for answer in (as_is, swapped)
    )
    assert best == OTHER[best_of_swapped]


def test_shipped_survey_is_audited_and_names_its_machine(shipped) -> None:
    assert all(stack.audit.is_clean and not stack.was_stopped for stack in shipped.stacks)
    assert [stack.spot for stack in shipped.stacks] == list(shipped.settings.spots)
    assert all("cores" in machine for machine in model.machines(survey=shipped))


def test_answer_fits_a_screen() -> None:
    lines = _output("--survey", str(SHIPPED), "--hop", "5ms", "--steps", "7").splitlines()
    assert len(lines) <= 45
    assert max(len(line) for line in lines) <= 80
    assert lines[0] == "WHICH PATTERN  7 steps, 5 ms per hop, 0% declined, 25 checkouts/s"


def test_json_says_which_capacity_is_a_lower_bound(tmp_path) -> None:
    folder = _kept(tmp_path / "followed", following(base=survey(), pattern=ORCHESTRATED))
    answer = json.loads(_output("--survey", str(folder), "--load", "450", "--json"))
    assert {forecast["pattern"]: forecast["is_at_least"] for forecast in answer["forecasts"]} == {
        ORCHESTRATED: True,
        CHOREOGRAPHED: False,
    }
    (p50,) = (choice for choice in answer["choices"] if choice["figure"] == "p50")
    assert (p50["difference"], p50["is_known"]) == (None, False)
    assert "p50" not in answer["take"].get(CHOREOGRAPHED, [])


def test_model_is_explained_on_request() -> None:
    output = _output("--survey", str(SHIPPED), "--explain")
    assert "waits for a batch, per step, at most" in output
    assert "cycle of a batch" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "2"), "steps: 2 is not from 3 to 8"),
        (("--steps", "9"), "steps: 9 is not from 3 to 8"),
        (("--hop", "51ms"), "hop delay: 51 ms is not from 0 to 50 ms"),
        (("--refusals", "1.1"), "refusal rate: 1.1 is not a share from 0 to 1"),
        (("--refusals", "nan"), "refusal rate: nan is not a share from 0 to 1"),
        (("--load", "0"), "load: 0 is not above 0 and at most 5000"),
        (("--survey", "nowhere"), "nowhere has no survey that can be read"),
    ],
)
def test_input_out_of_range_is_refused_in_plain_words(options, message) -> None:
    with pytest.raises(CommandError, match=message):
        _output(*options)


def test_newest_complete_survey_of_the_user_is_preferred(tmp_path) -> None:
    _kept(tmp_path / "2026-01-01", survey())
    newest = _kept(tmp_path / "2026-01-02", replace(survey(), seconds_taken=7))
    stopped = survey()
    last = replace(stopped.stacks[-1], was_stopped=True)
    _kept(tmp_path / "2026-01-03", replace(stopped, stacks=[*stopped.stacks[:-1], last]))
    taken = source(named=None, own=tmp_path)
    assert taken.survey.seconds_taken == 7
    assert str(newest) in taken.label


def test_shipped_survey_is_used_where_the_user_has_none(tmp_path) -> None:
    taken = source(named=None, own=tmp_path)
    assert taken.label == "the survey that comes with Dueto, of another machine"
