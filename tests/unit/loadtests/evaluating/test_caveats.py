from dataclasses import replace

import pytest

from loadtests.evaluating import caveats
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Measured
from loadtests.load.windows import WindowPhase
from tests.unit.loadtests.builders import (
    SETTINGS,
    comparison,
    cost,
    measured,
    sample,
    whole_run,
    window,
)


def _caveats_of(odd: Measured) -> list[str]:
    return _comparison_with(odd).caveats


def _comparison_with(odd: Measured) -> Comparison:
    return comparison(every=[*whole_run(), odd])


def _light(**changes: object) -> Measured:
    return replace(measured(of=window(), latencies=[0.02] * 50), **changes)


def test_run_without_a_fault_has_no_caveats() -> None:
    assert comparison(every=whole_run()).caveats == []
    assert comparison(every=whole_run()).is_valid


def test_window_without_arrivals_changes_nothing() -> None:
    empty = [
        measured(of=window(pattern=pattern, number=99, phase=phase), latencies=[])
        for pattern in ("orchestrated", "choreographed")
        for phase in (WindowPhase.LIGHT, WindowPhase.FAILURES, WindowPhase.HOT)
    ]
    result, usual = comparison(every=[*whole_run(), *empty]), comparison(every=whole_run())
    assert (result.figures, result.verdicts) == (usual.figures, usual.verdicts)
    assert result.is_valid


def test_late_generator_makes_a_light_window_invalid() -> None:
    late = [sample(lag=0.006, latency=0.02)] * 50
    result = _comparison_with(_light(samples=late))
    assert not result.is_valid
    assert any("INVALID" in caveat and "6.0 ms" in caveat for caveat in result.caveats)


def test_window_with_a_late_generator_decides_nothing() -> None:
    late = [
        replace(each, samples=[replace(s, sent_at=s.intended_at + 0.006) for s in each.samples])
        if each.window.phase is WindowPhase.LIGHT and each.window.block < 3
        else each
        for each in whole_run()
    ]
    p50 = comparison(every=late).verdicts[0]
    assert comparison(every=whole_run()).verdicts[0].better == "choreographed"
    assert not p50.better
    assert (p50.blocks, "8 are needed" in p50.why) == (5, True)


def test_late_generator_at_full_load_is_no_caveat() -> None:
    late = [sample(intended=n / 100, lag=0.5, latency=2) for n in range(100)]
    full = replace(
        measured(of=window(phase=WindowPhase.FULL, rate=100), latencies=[2.0] * 100), samples=late
    )
    assert _caveats_of(full) == []


def test_late_generator_voids_what_it_delayed_and_no_more() -> None:
    late = [sample(lag=0.006, latency=0.02)] * 50
    result = _comparison_with(
        replace(measured(of=window(phase=WindowPhase.HOT), latencies=[0.02] * 50), samples=late)
    )
    assert result.is_valid
    (caveat,) = [caveat for caveat in result.caveats if "do not use these latencies" in caveat]
    assert ": hot" in caveat


def test_caveat_names_only_the_phase_where_it_concerns_all_of_its_patterns() -> None:
    def disturbed(phases: set[WindowPhase]) -> str:
        every = [
            replace(each, cost=replace(each.cost, busy_ms=6000))
            if each.window.phase in phases
            else each
            for each in whole_run()
        ]
        return comparison(every=every).caveats[0].rpartition(": ")[2]

    assert disturbed({WindowPhase.LIGHT, WindowPhase.FAILURES}) == "light, failures."
    assert disturbed(set(WindowPhase)) == "in every window."


def test_saturated_generator_is_reported() -> None:
    busy = _light(cost=cost(generator_ms=0.9 * 2 * 1000))
    assert any("generator was saturated" in caveat for caveat in _caveats_of(busy))
    shared = comparison(every=[*whole_run(), busy], settings=replace(SETTINGS, workers=2))
    assert not any("generator was saturated" in caveat for caveat in shared.caveats)


def test_harness_that_takes_more_than_its_share_is_reported() -> None:
    greedy = _light(cost=cost(shop_ms=100, generator_ms=8_000))
    share = (8_000 + 8 * 10) / (8_000 + 8 * 10 + 9 * 100)
    assert any(f"meters used {share:.0%} of the CPU" in caveat for caveat in _caveats_of(greedy))


def test_other_programs_are_reported() -> None:
    disturbed = _light(cost=replace(cost(), busy_ms=6000))
    assert any("other programs" in caveat for caveat in _caveats_of(disturbed))


def test_clock_that_was_set_makes_a_window_invalid() -> None:
    assert not _comparison_with(_light(clock_step_ms=-3.0)).is_valid


def test_checkpoint_in_a_window_is_reported() -> None:
    met = _light(cost=replace(cost(), checkpoints=1))
    number = met.window.number
    assert f"a checkpoint of the database ended in window {number}." in _caveats_of(met)


def test_unfinished_and_unaccepted_checkouts_are_reported() -> None:
    broken = _light(samples=[sample(ended=False), sample(status=503)] * 25)
    texts = _caveats_of(broken)
    assert any("25 checkouts did not end" in caveat for caveat in texts)
    assert any("25 checkouts were not accepted" in caveat for caveat in texts)


def test_pattern_that_was_never_saturated_is_reported() -> None:
    easy = [
        replace(result, samples=[sample(intended=n / 200, latency=0.01) for n in range(200)])
        if result.window.phase is WindowPhase.FULL
        else result
        for result in whole_run()
    ]
    assert any("never saturated" in caveat for caveat in comparison(every=easy).caveats)


def _slow(phase: WindowPhase) -> Comparison:
    """A run in which orchestrated checkouts of this phase took two seconds longer."""
    return comparison(
        every=[
            replace(
                result,
                samples=[replace(each, ended_at=each.ended_at + 2) for each in result.samples],
            )
            if (result.phase, result.pattern) == (phase, "orchestrated")
            else result
            for result in whole_run()
        ]
    )


@pytest.mark.parametrize("phase", [WindowPhase.LIGHT, WindowPhase.FAILURES])
def test_only_full_load_shows_what_a_pattern_can_take(phase: WindowPhase) -> None:
    """The last checkouts of a short window make it look saturated."""
    assert not any("light load is nearly" in caveat for caveat in _slow(phase).caveats)


def test_light_load_that_saturates_a_pattern_is_reported() -> None:
    (caveat,) = _slow(WindowPhase.FULL).caveats
    assert caveat == (
        "light load is nearly all that orchestrated can do (20/s), so latency is time in queues"
        " (run again with --rate 4)."
    )


def test_limit_of_the_lag_is_the_documented_one() -> None:
    assert caveats.LAG_MS == 5.0
