"""The windows of a stack, on a computed shop: the load that each pattern is offered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from loadtests.evaluating.results import Measured
from loadtests.load.windows import Window, WindowPhase
from loadtests.measuring.cost import Cost
from loadtests.surveying import grid
from loadtests.surveying.cells import is_saturated
from loadtests.surveying.grid import Spot, SurveySettings
from loadtests.surveying.survey import Ahead, caveats_of, measure
from tests.unit.loadtests.builders import cost, measured

SPOT = Spot(steps=5, hop_ms=50)
SETTINGS = SurveySettings(
    patterns=("orchestrated", "choreographed"),
    spots=[SPOT],
    loads=[25],
    refusals=[0],
    seconds=1.0,
    seed=1,
)


@dataclass
class ComputedShop:
    """Serves one checkout after the other, at a rate by pattern, with a second of delay."""

    most: dict[str, float]
    taken: list[Window] = field(default_factory=list)

    def measure_rest(self) -> Cost:
        return cost(seconds=3)

    def measure(self, *, window: Window, seen: Sequence[Measured]) -> Measured:
        assert list(seen) == seen
        self.taken.append(window)
        latencies, free = [], 0.0
        for number in range(int(window.rate * window.seconds)):
            free = max(free, number / window.rate) + 1 / self.most[window.pattern]
            latencies.append(free - number / window.rate + 1.0)
        return measured(of=window, latencies=latencies)

    def drain(self) -> None: ...


def _surveyed(**most: float) -> tuple[ComputedShop, list[Measured], list[str]]:
    shop, done, lines = ComputedShop(most=most), [], []
    measure(runner=shop, spot=SPOT, ahead=Ahead(SETTINGS, []), done=done.append, say=lines.append)
    return shop, done, lines


def _full(done: Sequence[Measured], pattern: str) -> list[Measured]:
    return [
        result
        for result in done
        if (result.window.phase, result.window.pattern) == (WindowPhase.FULL, pattern)
    ]


@pytest.mark.parametrize("most", [150, 400, 700, 1200])
def test_pattern_is_offered_more_until_it_is_saturated(most) -> None:
    _, done, _ = _surveyed(orchestrated=most, choreographed=300)
    *before, last = _full(done, "orchestrated")
    assert is_saturated(measured=last)
    assert len(before) < grid.FULL_BLOCKS + grid.FURTHER
    rates = [result.window.rate for result in [*before, last]]
    assert rates == sorted(rates)
    assert last.window.rate < 1.5 * most


def test_pattern_that_is_saturated_gets_no_further_window() -> None:
    _, done, _ = _surveyed(orchestrated=1200, choreographed=300)
    assert len(_full(done, "orchestrated")) > grid.FULL_BLOCKS
    assert len(_full(done, "choreographed")) == grid.FULL_BLOCKS


def test_pattern_that_follows_everything_is_given_up_and_doubted() -> None:
    _, done, _ = _surveyed(orchestrated=1e6, choreographed=300)
    assert len(_full(done, "orchestrated")) == grid.FULL_BLOCKS + grid.FURTHER
    assert "never saturated, so it can do more: full orchestrated." in caveats_of(measured=done)


def test_cells_come_after_all_full_load_and_are_shares_of_what_that_showed() -> None:
    shop, _, lines = _surveyed(orchestrated=1200, choreographed=300)
    phases = [each.phase for each in shop.taken]
    assert phases.index(WindowPhase.CELL) > len(phases) - 1 - phases[::-1].index(WindowPhase.FULL)
    shared = [each for each in shop.taken if each.share]
    assert [each.rate for each in shared] == [pytest.approx(0.6 * 300, rel=0.02)] * 2
    assert len({each.number for each in shop.taken}) == len(shop.taken)
    assert lines[-1].endswith("0:05 left")
