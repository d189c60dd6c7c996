import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.drawing import screen, stored
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.knee import Bounds
from tests.unit.loadtests.builders import (
    SETTINGS,
    THREE,
    full_run,
    measured,
    sample,
    stored_run,
    whole_run,
    window,
)

MOST_LINES, MOST_COLUMNS = 45, 79


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return stored.read(folder=stored_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def shown(run: Comparison) -> str:
    return screen.screen(run=run)


def _line(shown: str, label: str) -> str:
    return next(
        line
        for line in shown.partition("FIGURES")[2].splitlines()
        if line.strip().startswith(label)
    )


def _cells(shown: str, label: str) -> list[str]:
    return re.split(r"\s{3,}", _line(shown, label).strip())[1:]


def test_screen_shows_the_percentiles_of_both_patterns_side_by_side(shown: str) -> None:
    orchestrated, choreographed = _cells(shown, "p50")
    assert orchestrated.startswith("22.8")
    assert choreographed.startswith("12.8")


def test_screen_shows_how_checkouts_ended_that_could_not_all_be_sold(shown: str) -> None:
    assert _cells(shown, "completed / undone / refused") == ["6 / 3 / 1"] * 2


def test_screen_shows_completed_per_second_at_full_load(shown: str) -> None:
    # 100 offered within a second, the last of them done after 0.99 s and another 2 s (or 1 s).
    orchestrated, choreographed = _cells(shown, "completed/s")
    assert orchestrated.startswith("33")
    assert choreographed.startswith("50")


def test_screen_splits_the_cpu_into_services_and_servers(shown: str) -> None:
    assert _cells(shown, "of it: services") == ["0.50"] * 2
    assert _cells(shown, "PostgreSQL and broker") == ["0.50"] * 2


def test_screen_names_machine_broker_and_audit(shown: str) -> None:
    assert "a toaster" in shown
    assert "quorum queues" in shown
    assert "audit: clean" in shown


def test_screen_says_what_the_run_decides(shown: str) -> None:
    assert "  p50 at light load\n    choreographed takes 44 % less time than orchestrated" in shown


def test_verdict_comes_first_then_warnings_then_figures(run: Comparison) -> None:
    shown = screen.screen(run=replace(run, caveats=["a cat sat on the keyboard."]))
    places = [
        shown.index(part)
        for part in ("Choreographed finishes sooner", "warning: a cat", "DECISIONS", "FIGURES")
    ]
    assert places == sorted(places)
    assert places[0] == 0


def test_screen_fits_a_terminal(shown: str) -> None:
    lines = shown.splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= MOST_COLUMNS


def test_screen_has_only_signs_that_every_terminal_has(shown: str) -> None:
    assert shown.isascii()


def test_screen_says_never_for_a_percentile_without_outcome(tmp_path: Path) -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 49)
    run = stored.read(folder=stored_run(tmp_path, every=[*whole_run(), stuck]))
    shown = screen.screen(run=run)
    assert "never" in shown
    assert "warning: 49 checkouts did not end in time: light orchestrated." in shown


def test_screen_shows_a_single_pattern_too(run: Comparison) -> None:
    settings = replace(run.settings, patterns=["orchestrated"])
    alone = replace(run, settings=settings, verdicts=[])
    assert _cells(screen.screen(run=alone), "p50")[0].startswith("22.8")


def test_screen_of_a_full_run_shows_the_knees(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patterns=THREE, is_full=True, seconds=6)
    every = [each for each in full_run() if each.window.phase != "hot"]
    shown = screen.screen(
        run=stored.read(folder=stored_run(tmp_path, every=every, settings=settings))
    )
    assert len(shown.splitlines()) <= MOST_LINES
    bounds = re.findall(r"(\d+)  \((\d+)\+\)", _line(shown, "sustained/s"))
    knees = [tuple(map(int, bound)) for bound in bounds]
    assert len(knees) == len(THREE)
    assert all(low < knee for knee, low in knees)
    assert knees[0] > knees[1] > (100,)


def test_screen_says_what_is_not_known_of_a_knee(tmp_path: Path) -> None:
    run = stored.read(folder=stored_run(tmp_path / "run"))
    open_ended = Capacity(pattern="orchestrated", knee=300, knee_between=Bounds(low=280, high=None))
    nothing = Capacity(pattern="orchestrated", knee=None, knee_between=Bounds(low=0, high=90))
    older = Capacity(pattern="choreographed", knee=209)
    shown = screen.screen(run=replace(run, capacities=[open_ended, older]))
    assert _line(shown, "sustained/s").split()[-3:] == ["300", "(280+)", "209"]
    shown = screen.screen(run=replace(run, capacities=[nothing]))
    assert _line(shown, "sustained/s").split()[-3:] == ["none", "(0-90)", "-"]


def test_breach_of_the_audit_is_on_the_screen(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, audit="stock of product 7 is off by 1")
    assert "BREACHED: stock of product 7" in screen.screen(run=stored.read(folder=folder))
