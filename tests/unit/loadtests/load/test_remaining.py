"""The progress of a run, and the time left."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from loadtests.comparing import outage_of, outage_seconds
from loadtests.load import windows
from loadtests.load.windows import AS_GOOD_AS, Arrivals, Remaining, WindowPhase, as_minutes
from loadtests.running import runner
from loadtests.running.runner import progress
from tests.unit.loadtests.builders import SETTINGS, cost, measured, sample, window

AROUND = windows.AROUND_SECONDS[Arrivals.POISSON]
TWO = replace(window(), arrivals=Arrivals.POISSON, seconds=2)
TWELVE = replace(window(phase=WindowPhase.PAUSE), arrivals=Arrivals.POISSON, seconds=12)
TOO_MUCH = replace(window(phase=WindowPhase.FULL, rate=100), arrivals=Arrivals.CONSTANT, seconds=2)
FULL = replace(SETTINGS, is_full=True)


def test_before_the_first_window_the_plan_is_all_that_is_known() -> None:
    assert Remaining(after=7).seconds(to_come=[TWO, TWELVE]) == 14 + 2 * AROUND + 7


def test_first_windows_change_the_estimate_a_little_and_many_make_it() -> None:
    left = Remaining()
    left.add(window=TWO, took=2 + 2 * AROUND)
    assert AROUND < left.seconds(to_come=[TWO]) - 2 < AROUND * 1.2
    for _ in range(AS_GOOD_AS * 200):
        left.add(window=TWO, took=3)
    assert left.seconds(to_come=[TWO]) == pytest.approx(3, abs=0.1)


def test_short_windows_so_far_do_not_shorten_later_long_windows() -> None:
    left = Remaining()
    for _ in range(50):
        left.add(window=TWO, took=2 + AROUND)
    assert left.seconds(to_come=[TWELVE]) == pytest.approx(12 + AROUND)


def test_backlogs_of_overload_windows_do_not_lengthen_the_others() -> None:
    left = Remaining()
    for _ in range(50):
        left.add(window=TOO_MUCH, took=12)
    assert left.seconds(to_come=[TWO]) == pytest.approx(2 + AROUND)
    assert left.seconds(to_come=[TOO_MUCH]) == pytest.approx(12, abs=1)


def test_time_left_is_shown_in_minutes() -> None:
    assert [as_minutes(seconds=seconds) for seconds in (0.4, 59.7, 190)] == ["0:00", "1:00", "3:10"]


def test_full_run_ends_with_an_outage_for_each_of_its_patterns() -> None:
    planned = outage_of(settings=FULL)
    assert planned is not None
    assert (planned.patterns, planned.rate) == (list(FULL.patterns), FULL.rate)
    assert outage_of(settings=SETTINGS) is None
    assert outage_seconds(settings=SETTINGS) == 0


@pytest.mark.parametrize("saga", ["fulfilment", "shipment"])
def test_outage_is_of_a_participant_of_the_saga_that_was_compared(saga: str) -> None:
    planned = outage_of(settings=replace(FULL, saga=saga))
    assert planned is not None
    assert (planned.saga, planned.participant) == (saga, "pagos")


def test_outage_is_of_patterns_not_of_arms_nor_of_the_monolith() -> None:
    arms = replace(FULL, patterns=("orchestrated", "orchestrated again", "monolith"))
    planned = outage_of(settings=arms)
    assert planned is not None
    assert planned.patterns == ["orchestrated"]


def test_line_says_what_was_done_and_why_some_were_not_accepted() -> None:
    turned_away = replace(sample(status=503), error="overloaded: The service is overloaded.")
    full = measured(
        of=window(phase=WindowPhase.FULL, rate=456, number=30, pattern="orchestrated"),
        latencies=[1.0] * 665,
        more=[turned_away] * 210,
    )
    line = progress(full, of=46)
    assert line == "30/46 full     orchestrated   456/s: 665 done, 271/s, 210 overloaded"
    assert len(f"{line}; 1:19 left") <= 79


def test_line_of_a_light_window_has_its_median() -> None:
    light = measured(of=window(number=5), latencies=[0.02] * 50, more=[sample(ended=False)])
    assert progress(light, of=46) == (
        " 5/46 light    orchestrated    25/s: 50 of 51 done, p50 20.0 ms"
    )


class _Shop:
    """Sagas of an earlier window are in flight for this many looks."""

    def __init__(self, looks: int) -> None:
        self.looks, self.done = looks, list[str]()

    def drain(self, *, within: float) -> bool:
        self.done.append("drain")
        self.looks -= 1
        return self.looks < 0

    def rest(self) -> bool:
        return True


@pytest.mark.parametrize(("looks", "before"), [(0, 1), (1, 2)])
def test_window_begins_once_an_earlier_one_has_left_nothing(
    monkeypatch: pytest.MonkeyPatch, looks: int, before: int
) -> None:
    """The backlog of a slow pattern's warm-up would be measured with the next window."""
    shop, lines = _Shop(looks), list[str]()
    sender = SimpleNamespace(
        generator=SimpleNamespace(scheduling=""),
        outcomes=shop,
        write=lambda window: None,
        send=lambda window: shop.done.append("send") or {"clock_step_ms": 0.0},
        collect=lambda window: [],
    )
    monkeypatch.setattr(runner.cost, "between", lambda before, after: cost())
    measuring = runner.WindowRunner(
        sender=cast(runner.WindowSender, sender),
        meters=cast(runner.Meters, SimpleNamespace(read=lambda: None)),
        checkpoint=lambda: None,
        pause=lambda _: None,
        timeline=None,
        say=lines.append,
    )
    taken = measuring.measure(window=replace(window(), phase=WindowPhase.WARM_UP), seen=[])
    assert shop.done.index("send") == before
    assert bool(lines) == (looks > 0)
    assert taken.has_rested
