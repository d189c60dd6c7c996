import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests import report, samples
from loadtests.samples import read
from tests.unit.loadtests.builders import comparison, measured, sample, whole_run, window

MOST_LINES, MOST_COLUMNS = 60, 100


@pytest.fixture(scope="module")
def screen() -> str:
    return report.as_screen(comparison=comparison(every=whole_run()))


def _cells(screen: str, label: str) -> list[str]:
    line = next(line for line in screen.splitlines() if line.strip().startswith(label))
    return re.split(r"\s{3,}", line.strip())[1:]


def test_screen_shows_the_percentiles_of_both_patterns_side_by_side(screen: str) -> None:
    orchestrated, choreographed = _cells(screen, "p50 ms")
    assert orchestrated.startswith("22.6")
    assert choreographed.startswith("12.6")


def test_screen_shows_how_many_were_offered_and_how_they_ended(screen: str) -> None:
    assert _cells(screen, "offered / accepted / completed") == ["200 / 200 / 200"] * 2
    assert "1 / 3 / 0" in screen


def test_screen_shows_completed_per_second_at_full_load(screen: str) -> None:
    # 100 offered within a second, the last of them done after 0.99 s and another 2 s (or 1 s).
    orchestrated, choreographed = _cells(screen, "completed/s")
    assert orchestrated.startswith("33")
    assert choreographed.startswith("50")


def test_screen_shows_the_cost_by_process(screen: str) -> None:
    assert _cells(screen, "PostgreSQL") == ["0.50"] * 2
    assert _cells(screen, "carrito") == ["0.25 + 0.25"] * 2


def test_screen_names_machine_broker_and_audit(screen: str) -> None:
    assert "a toaster" in screen
    assert "quorum queues" in screen
    assert "audit: clean" in screen


def test_screen_says_what_the_run_decides(screen: str) -> None:
    assert "choreographed is lower by 10.0" in screen


def test_screen_fits_a_terminal(screen: str) -> None:
    lines = screen.splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= MOST_COLUMNS


def test_screen_says_never_for_a_percentile_without_outcome() -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 49)
    shown = report.as_screen(comparison=comparison(every=[*whole_run(), stuck]))
    assert "never" in shown
    assert "beware: 49 checkouts did not end in time: light orchestrated." in shown


def test_screen_shows_a_single_pattern_too() -> None:
    every = [one for one in whole_run() if one.window.pattern == "orchestrated"]
    one = comparison(every=whole_run())
    alone = replace(
        one,
        settings=replace(one.settings, patterns=("orchestrated",)),
        verdicts=[],
        figures=[figure for figure in one.figures if figure.pattern == "orchestrated"],
    )
    assert every
    assert "22.6" in report.as_screen(comparison=alone)


def test_json_has_every_figure_and_null_for_what_never_came() -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 499)
    found = json.loads(report.as_json(comparison=comparison(every=[*whole_run(), stuck])))
    light = next(one for one in found["figures"] if one["phase"] == "light")
    assert light["outcome"]["p99"] is None
    assert light["counts"]["unfinished"] == 499
    assert found["settings"]["seed"] == 11
    assert found["audit"]["is_clean"] is True


def test_report_has_the_raw_samples_beside_it(tmp_path: Path) -> None:
    every = whole_run()
    path = report.write(folder=tmp_path, comparison=comparison(every=every), measured=every)
    kept = read(path=tmp_path / "samples.csv")
    assert len(kept) == sum(len(one.samples) for one in every)
    assert {one.outcome for one in kept} >= {samples.COMPLETED, samples.COMPENSATED}
    assert "| p50 ms" in path.read_text()


def test_breach_of_the_audit_is_in_the_report() -> None:
    breached = comparison(every=whole_run(), audit="stock of product 7 is off by 1")
    assert not breached.is_valid
    assert "BREACHED: stock of product 7" in report.as_markdown(comparison=breached)
