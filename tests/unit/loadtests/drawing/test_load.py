"""The chapter on load: its table of send lag, and the law drawn where the levels are."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.drawing import load, stored, words
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.fitting import ScalabilityLaw
from loadtests.evaluating.knee import Level
from tests.unit.loadtests.builders import SETTINGS, full_run, stored_run

LAW = ScalabilityLaw(alone=50.0, contention=0.05, coherency=0.0002, error=0.04)
"""One at a time: 20 ms each."""


def _capacity(*, law: ScalabilityLaw | None, in_flight: float = 30) -> Capacity:
    level = Level(
        offered=200,
        completed=200,
        in_flight=in_flight,
        p50_ms=20,
        p99_ms=90,
        is_sustained=True,
        lag_p99_ms=1,
    )
    return Capacity(pattern="orchestrated", knee=200, levels=[level], law=law)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = replace(SETTINGS, is_full=True)
    every = full_run(patterns=SETTINGS.patterns)
    return stored_run(tmp_path_factory.mktemp("full"), every=every, settings=settings)


@pytest.fixture(scope="module")
def run(folder: Path) -> Comparison:
    return stored.read(folder=folder)


def test_curve_of_the_law_begins_with_one_at_a_time() -> None:
    curve = load.curve_of(capacity=_capacity(law=LAW))
    assert curve[0] == pytest.approx((50, 20))
    assert curve[-1][1] == pytest.approx(30 / LAW.throughput(in_flight=30) * 1000)


def test_curve_ends_where_more_at_a_time_is_of_no_use() -> None:
    curve = load.curve_of(capacity=_capacity(law=LAW, in_flight=10_000))
    assert curve == sorted(curve)
    assert curve[-1][0] == pytest.approx(LAW.throughput(in_flight=LAW.most_in_flight()))


def test_levels_that_follow_no_law_have_no_curve() -> None:
    assert load.curve_of(capacity=_capacity(law=None)) == []


def test_law_is_drawn_with_its_error(run: Comparison, folder: Path) -> None:
    text = load.load(run=run, samples=stored.read_samples(folder=folder))
    assert text.count('class="law ') == 2 * 2
    assert "root mean square error" in text


def test_knees_are_drawn_with_their_intervals(run: Comparison, folder: Path) -> None:
    text = load.load(run=run, samples=stored.read_samples(folder=folder))
    between = run.capacities[0].knee_between
    assert between is not None
    assert text.count('class="knee s') == 2 * 2
    assert text.count('class="bracket s') == 2 * 2 * 3
    assert words.bounds(between.low, between.high) in text
    assert "95 % interval" in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (200.0, 300.0, "200 to 300"),
        (0.0, 300.0, "below 300"),
        (200.0, None, "200 or more"),
        (0.0, None, "not known"),
    ],
)
def test_bounds_that_were_not_found_are_no_numbers(
    low: float, high: float | None, text: str
) -> None:
    assert words.bounds(low, high) == text


def test_every_load_has_the_send_lag_beside_it(run: Comparison, folder: Path) -> None:
    samples = [
        replace(sample, sent_at=sample.sent_at + 0.007)
        for sample in stored.read_samples(folder=folder)
    ]
    levels = load.levels_of(run=run, samples=samples, pattern="orchestrated")
    assert {round(level.lag_p99_ms) for level in levels} >= {0, 7}
    assert "send lag, p99 ms" in load.load(run=run, samples=samples)
