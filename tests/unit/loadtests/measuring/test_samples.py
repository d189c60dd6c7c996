import csv
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.measuring import samples
from loadtests.measuring.samples import Sample, completed_per_second, percentile
from tests.unit.loadtests.builders import sample


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1), (0.001, 1)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    assert percentile(values, share) == expected


def test_percentile_of_twenty_values_is_not_thrown_off_by_binary_fractions() -> None:
    assert percentile(range(1, 21), 0.95) == 19


def test_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([1.0, 10.0], 0.5) == 1.0
    assert percentile([7.25], 0.99) == 7.25


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_unfinished_checkout_counts_as_infinitely_late() -> None:
    values = [sample(latency=0.01).latency_ms] * 98 + [sample(ended=False).latency_ms] * 2
    assert percentile(values, 0.98) == pytest.approx(10)
    assert math.isinf(percentile(values, 0.99))


def test_latency_counts_from_the_intended_start_not_from_the_sending() -> None:
    assert sample(lag=0.5, latency=0.75).latency_ms == pytest.approx(750)


def test_completed_per_second_counts_until_the_last_has_ended() -> None:
    # 10 a second are offered over a second; the last one ends 4 s after the first start.
    offered = [sample(intended=n / 10, latency=0.1) for n in range(9)]
    offered.append(sample(intended=0.9, latency=3.1))
    assert completed_per_second(offered) == pytest.approx(10 / 4)


def test_completed_per_second_leaves_out_what_did_not_complete() -> None:
    offered = [
        sample(intended=0, latency=1),
        sample(intended=0, latency=2, outcome=samples.COMPENSATED),
    ]
    assert completed_per_second(offered) == pytest.approx(1 / 2)
    assert completed_per_second([sample(ended=False)]) == 0


def test_samples_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    written = [sample(intended=1.25, latency=0.5), sample(ended=False), sample(status=0)]
    samples.write(path=tmp_path / "samples.csv", kind=Sample, every=written)
    assert samples.read(path=tmp_path / "samples.csv", kind=Sample) == written


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula_and_none_is_changed_when_it_is_read(
    tmp_path: Path, begins: str
) -> None:
    path = tmp_path / "samples.csv"
    errors = [f"{begins}cmd|' /C calc'!A0", "'quoted'"]
    sent = [replace(sample(), error=error) for error in errors]
    samples.write(path=path, kind=Sample, every=sent)
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]
    assert samples.read(path=path, kind=Sample) == sent
