import pytest

from loadtests.evaluating.results import Figures, figures
from loadtests.load.windows import WindowPhase
from loadtests.measuring import samples
from loadtests.measuring.cost import Cost, Reading, added, between
from tests.unit.loadtests.builders import comparison, cost, measured, sample, whole_run, window


def _figures(phase: WindowPhase) -> Figures:
    return figures(measured=whole_run(), phase=phase, pattern="orchestrated", cores=2)


def test_figures_are_of_their_own_phase_and_pattern() -> None:
    result = _figures(WindowPhase.LIGHT)
    assert result.windows == 8
    assert result.counts.offered == result.counts.completed == 400
    assert result.outcome is not None
    assert 20 <= result.outcome.p50 <= result.outcome.p95 <= result.outcome.p99 <= 26
    assert len(result.outcome.windows) == 8


def test_failures_are_counted_and_timed_by_their_kind() -> None:
    result = _figures(WindowPhase.FAILURES)
    counted = result.counts
    assert (counted.completed, counted.compensated, counted.refused) == (6, 3, 1)
    assert result.compensated is not None
    assert result.refused is not None
    assert result.compensated.p50 == pytest.approx(30)
    assert result.refused.p50 == pytest.approx(10)


def test_cost_is_divided_by_the_accepted_and_keeps_the_generator_apart() -> None:
    unaccepted = [sample(status=503)] * 50
    result = measured(of=window(), latencies=[0.01] * 50, more=unaccepted)
    used = figures(measured=[result], phase=WindowPhase.LIGHT, pattern="orchestrated", cores=2).cost
    assert used.shop_cpu_ms == pytest.approx(2.0)
    assert used.generator_cpu_ms == pytest.approx(0.2)
    assert used.cpu_ms["postgres"] == pytest.approx(1.0)
    assert (used.writes, used.messages, used.http_calls) == pytest.approx((1.2, 1.4, 1.6))


def test_phase_without_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="no window"):
        figures(measured=[], phase=WindowPhase.LIGHT, pattern="orchestrated", cores=2)


def test_costs_of_windows_add_up() -> None:
    total = added([cost(shop_ms=100), cost(shop_ms=300)])
    assert total.shop_cpu_ms == pytest.approx(400)
    assert total.wal_bytes == 100_000


def test_unfinished_checkout_is_neither_completed_nor_refused() -> None:
    result = measured(of=window(), latencies=[0.01], more=[sample(ended=False)])
    counted = figures(
        measured=[result], phase=WindowPhase.LIGHT, pattern="orchestrated", cores=2
    ).counts
    assert (counted.accepted, counted.completed, counted.unfinished) == (2, 1, 1)
    assert samples.UNFINISHED == "unfinished"


def test_cost_between_two_readings_is_their_difference() -> None:
    earlier = Cost(
        seconds=10,
        cpu_ms={"postgres": 1000},
        busy_ms=5000,
        steal_ms=0,
        wal_bytes=100,
        writes=10,
        messages=7,
        http_calls=3,
    )
    later = Cost(
        seconds=12,
        cpu_ms={"postgres": 1500, "new": 100},
        busy_ms=6000,
        steal_ms=0,
        wal_bytes=300,
        writes=15,
        messages=9,
        http_calls=8,
    )
    before = Reading(used=earlier, last_checkpoint="0/1A")
    after = Reading(used=later, last_checkpoint="0/2B")
    used = between(before, after)
    assert used.cpu_ms == pytest.approx({"postgres": 500, "new": 100})
    assert (used.seconds, used.wal_bytes, used.writes) == (2, 200, 5)
    assert (used.messages, used.http_calls) == (2, 5)
    assert used.foreign_cpu_ms == pytest.approx(400)
    assert (used.checkpoints, between(before, before).checkpoints) == (1, 0)


def test_verdicts_name_the_patterns_in_the_order_they_were_asked_for() -> None:
    compared = comparison(every=whole_run()).verdicts
    assert {(verdict.first, verdict.second) for verdict in compared} == {
        ("orchestrated", "choreographed")
    }
