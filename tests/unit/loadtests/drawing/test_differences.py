import json
import shutil
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from loadtests.drawing import differences, stored
from loadtests.drawing.differences import Change
from loadtests.evaluating.comparison import Comparison
from tests.unit.loadtests.builders import SETTINGS, full_run, stored_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_run(tmp_path_factory.mktemp("run"))


def changed(folder: Path, into: Path, change: Any) -> Comparison:
    """The same run, its JSON changed."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    shutil.copytree(folder, into, dirs_exist_ok=True)
    (into / "report.json").write_text(json.dumps(report))
    return stored.read(folder=into)


def test_run_beside_itself_has_changed_in_nothing(folder: Path) -> None:
    run = stored.read(folder=folder)
    every = differences.changes(before=run, after=run)
    assert len(every) == 16
    assert {difference.verdict for difference in every} == {""}
    assert "SAME ENVIRONMENT" in differences.differences(before=run, after=run)


def test_environment_comes_before_the_figures(folder: Path, tmp_path: Path) -> None:
    def move(report: dict[str, Any]) -> None:
        report["environment"]["machine"] = "a kettle, 1 core"

    text = differences.differences(
        before=stored.read(folder=folder), after=changed(folder, tmp_path, move)
    )
    assert "A: a toaster, 2 cores" in text
    assert text.index("B: a kettle, 1 core") < text.index("FIGURE")


def test_figure_whose_windows_lie_apart_has_changed(folder: Path, tmp_path: Path) -> None:
    def slow_down(report: dict[str, Any]) -> None:
        for figure in report["figures"]:
            if (figure["phase"], figure["pattern"]) == ("light", "orchestrated"):
                figure["outcome"]["windows"] = [
                    [9 * x for x in w] for w in figure["outcome"]["windows"]
                ]

    after = changed(folder, tmp_path, slow_down)
    every = differences.changes(before=stored.read(folder=folder), after=after)
    of_it = {difference.figure: difference.verdict for difference in every}
    assert of_it["p50 ms, light load, orchestrated"] == "changed"
    assert of_it["p50 ms, light load, choreographed"] == ""


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([10, 11, 12], [13, 14, 15], "changed"),
        ([10, 11, 12], [11.9, 14, 15], "overlaps"),
        ([10, 11, 12], [10, 11.3, 12], ""),
        ([10, 11, 12], [inf, inf], "changed"),
        ([10, inf, inf], [10, 10, 10], "overlaps"),
    ],
)
def test_change_is_distinguished_from_overlap(before: list, after: list, verdict: str) -> None:
    assert Change(figure="p50", before=before, after=after).verdict == verdict


def test_figures_of_a_pattern_that_only_one_run_has_are_left_out(
    folder: Path, tmp_path: Path
) -> None:
    def alone(report: dict[str, Any]) -> None:
        report["settings"]["patterns"] = ["orchestrated"]

    every = differences.changes(
        before=stored.read(folder=folder), after=changed(folder, tmp_path, alone)
    )
    assert every
    assert all("orchestrated" in difference.figure for difference in every)


def test_decisions_of_both_runs_stand_together(folder: Path) -> None:
    run = stored.read(folder=folder)
    _, _, decided = differences.differences(before=run, after=run).partition("DECIDED")
    assert decided.count("choreographed takes 44 % less time than orchestrated") >= 2


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = replace(SETTINGS, is_full=True)
    every = full_run(patterns=SETTINGS.patterns)
    return stored_run(tmp_path_factory.mktemp("full"), every=every, settings=settings)


def knees_of(before: Comparison, after: Comparison) -> list[str]:
    lines = differences.differences(before=before, after=after).splitlines()
    return [line for line in lines if line.startswith("  knee/s")]


def with_interval(*, knee: float, low: float, high: float | None) -> Any:
    """The first pattern's knee, of a run as it is written now."""

    def change(report: dict[str, Any]) -> None:
        of_it = {"knee": knee, "knee_between": {"low": low, "high": high}}
        report["capacities"][0].update(of_it)

    return change


@pytest.mark.parametrize(
    ("low", "high", "has_changed"), [(250, 300, False), (300, 350, True), (290, None, False)]
)
def test_knee_has_changed_where_the_intervals_are_apart(
    full: Path, tmp_path: Path, low: float, high: float | None, has_changed: bool
) -> None:
    before = changed(full, tmp_path / "A", with_interval(knee=240, low=200, high=300))
    after = changed(full, tmp_path / "B", with_interval(knee=310, low=low, high=high))
    assert [line.endswith("changed") for line in knees_of(before, after)] == [has_changed, False]
    assert [line.endswith("changed") for line in knees_of(after, before)] == [has_changed, False]


def test_knee_is_shown_with_its_interval(full: Path, tmp_path: Path) -> None:
    run = changed(full, tmp_path, with_interval(knee=240, low=200, high=None))
    assert "240 (200 or more)" in knees_of(run, run)[0]


def test_run_that_looked_for_no_knee_has_none(folder: Path) -> None:
    run = stored.read(folder=folder)
    assert "knee" not in differences.differences(before=run, after=run)
