"""The chapter on load: its table of send lag, and the law drawn where the levels are."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.drawing import growing, stored
from loadtests.drawing.conclusions import Capacity, Level
from loadtests.drawing.stored import Run
from loadtests.scalability import Law
from tests.unit.loadtests.builders import SETTINGS, full_run, stored_run

LAW = Law(alone=50.0, contention=0.05, coherency=0.0002, error=0.04)
"""One at a time: 20 ms each."""


def _capacity(*, law: Law | None, in_flight: float = 30) -> Capacity:
    level = Level(offered=200, p50_ms=20, p99_ms=90, is_sustained=True, in_flight=in_flight)
    return Capacity(pattern="orchestrated", knee=200, levels=[level], law=law)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = replace(SETTINGS, is_full=True)
    every = full_run(patterns=SETTINGS.patterns)
    return stored_run(tmp_path_factory.mktemp("full"), every=every, settings=settings)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return stored.read(folder=folder)


def test_curve_of_the_law_begins_with_one_at_a_time() -> None:
    curve = growing.curve_of(capacity=_capacity(law=LAW))
    assert curve[0] == pytest.approx((50, 20))
    assert curve[-1][1] == pytest.approx(30 / LAW.throughput(in_flight=30) * 1000)


def test_curve_ends_where_more_at_a_time_is_of_no_use() -> None:
    curve = growing.curve_of(capacity=_capacity(law=LAW, in_flight=10_000))
    assert curve == sorted(curve)
    assert curve[-1][0] == pytest.approx(LAW.throughput(in_flight=LAW.most_in_flight()))


def test_levels_that_follow_no_law_have_no_curve() -> None:
    assert growing.curve_of(capacity=_capacity(law=None)) == []


def test_law_is_drawn_with_its_error(run: Run, folder: Path) -> None:
    text = growing.load(run=run, samples=stored.read_samples(folder=folder))
    assert text.count('class="law ') == 2 * 2
    assert "off by" in text


def test_every_load_has_the_send_lag_beside_it(run: Run, folder: Path) -> None:
    samples = [
        replace(one, sent_at=one.sent_at + 0.007) for one in stored.read_samples(folder=folder)
    ]
    found = growing.levels_of(run=run, samples=samples, pattern="orchestrated")
    assert {round(one.lag_p99_ms or 0) for one in found} >= {0, 7}
    assert "send lag, p99 ms" in growing.load(run=run, samples=samples)
