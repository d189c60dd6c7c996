"""What a pattern completes at a harder full load, compared with plain full load."""

from dataclasses import replace

import pytest

from loadtests.evaluating.comparison import Pressure
from loadtests.load.plan import FULL_BEFORE, FULL_BLOCKS
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import completed_while_offered
from tests.unit.loadtests.builders import SETTINGS, comparison, measured, sample, window


def pressures(*, plain: float, harder: float, first: float = 0.5) -> list[Pressure]:
    """Of windows whose last checkout ends after these seconds; `first`: of the windows before."""
    phases = [WindowPhase.FULL] * FULL_BEFORE + [
        WindowPhase.FULL,
        WindowPhase.HOT_FULL,
    ] * FULL_BLOCKS
    every = [
        measured(
            of=window(phase=phase, rate=10, number=number),
            latencies=[seconds + number / 1000],
        )
        for number, phase in enumerate(phases)
        for seconds in [harder if phase is WindowPhase.HOT_FULL else plain]
        for seconds in [first if number < FULL_BEFORE else seconds]
    ]
    return comparison(every=every, settings=replace(SETTINGS, patterns=["orchestrated"])).pressures


def test_harder_windows_are_compared_with_those_beside_them() -> None:
    (pressure,) = pressures(plain=1.0, harder=2.0, first=100.0)
    assert (pressure.pattern, pressure.phase) == ("orchestrated", WindowPhase.HOT_FULL)
    assert pressure.ratio
    assert pressure.ratio.estimate == pytest.approx(0.5, rel=0.05)


def test_backlog_that_completes_later_does_not_count_as_completed() -> None:
    ends = [0.5, 2.5, 3.0, 3.9, 4.1, 9.0]
    samples = [sample(latency=end) for end in ends]
    assert completed_while_offered(samples, seconds=4.0) == 3 / 2
