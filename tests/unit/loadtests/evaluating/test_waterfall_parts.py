from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import SAGAS
from loadtests.evaluating import waterfall
from loadtests.evaluating.waterfall import TimeKind
from loadtests.measuring import samples, timeline
from loadtests.measuring.samples import Moments
from tests.unit.loadtests.builders import EPOCH, sample

CHECKOUT = SAGAS["checkout"]
STEPS = [step.name for step in CHECKOUT.steps]
GAPS = st.lists(
    st.floats(min_value=0, max_value=2), min_size=3 * len(STEPS), max_size=3 * len(STEPS)
)


def saga(gaps: list[float], *, name: str = "one", pattern: str = "orchestrated") -> list[Moments]:
    """A saga whose steps wait, work and pass on for these seconds, in turn."""
    now, steps = EPOCH, []
    for place, step in enumerate(STEPS):
        wait, work, pass_on = gaps[3 * place : 3 * place + 3]
        steps.append(
            Moments(
                window=1,
                pattern=pattern,
                saga_id=name,
                step=step,
                asked_at=now,
                picked_up_at=now + wait,
                decided_at=now + wait + work,
                attempts=1,
            )
        )
        now += wait + work + pass_on
    return steps


@given(every=st.lists(GAPS, min_size=1, max_size=5))
def test_parts_add_up_to_the_mean_latency(every: list[list[float]]) -> None:
    sagas_of_it = [saga(gaps, name=str(n)) for n, gaps in enumerate(every)]
    (chart,) = waterfall.waterfalls(moments=[moment for each in sagas_of_it for moment in each])
    latencies = [(moments[-1].decided_at - moments[0].asked_at) * 1000 for moments in sagas_of_it]
    assert chart.mean_ms == pytest.approx(sum(latencies) / len(latencies), abs=1e-3)
    assert sum(part.ms for part in chart.parts) == pytest.approx(chart.mean_ms, abs=1e-3)
    ends = [part.start + part.ms for part in chart.parts]
    assert [part.start for part in chart.parts][1:] == pytest.approx(ends[:-1], abs=1e-6)


def test_time_is_given_to_the_kind_and_step_where_it_was_spent() -> None:
    gaps = [n / 1000 for n in range(1, 3 * len(STEPS) + 1)]
    (chart,) = waterfall.waterfalls(moments=saga(gaps))
    spent = {(part.step, part.kind): part.ms for part in chart.parts}
    assert spent["accept_checkout", TimeKind.WAIT] == pytest.approx(1, abs=1e-3)
    assert spent[waterfall.HAND_OVER, TimeKind.COORDINATION] == pytest.approx(3, abs=1e-3)
    assert spent["process_payment", TimeKind.WAIT] == pytest.approx(7, abs=1e-3)
    assert spent["process_payment", TimeKind.SERVICE] == pytest.approx(8, abs=1e-3)
    assert spent["process_payment", TimeKind.COORDINATION] == pytest.approx(9, abs=1e-3)
    assert ("confirm_order", TimeKind.COORDINATION) not in spent


def test_wait_for_another_attempt_is_idle() -> None:
    steps = saga([0.001] * 18)
    steps[2] = replace(steps[2], attempts=3)
    (chart,) = waterfall.waterfalls(moments=steps)
    spent = {(part.step, part.kind): part.ms for part in chart.parts}
    assert spent["process_payment", TimeKind.IDLE] == pytest.approx(1, abs=1e-3)
    assert ("process_payment", TimeKind.WAIT) not in spent


def test_each_pattern_has_a_waterfall_of_its_own() -> None:
    every = [*saga([0.001] * 18), *saga([0.002] * 18, name="two", pattern="choreographed")]
    orchestrated, choreographed = waterfall.waterfalls(moments=every)
    assert (orchestrated.pattern, orchestrated.sagas) == ("orchestrated", 1)
    assert choreographed.mean_ms == pytest.approx(2 * orchestrated.mean_ms, abs=1e-3)


def test_moments_are_kept_as_they_were_read(tmp_path: Path) -> None:
    steps = saga([0.001] * 18)
    samples.write(path=tmp_path / "steps.csv", kind=Moments, every=steps)
    samples.append(path=tmp_path / "steps.csv", kind=Moments, every=steps[:1])
    kept = samples.read(path=tmp_path / "steps.csv", kind=Moments)
    assert [moment.step for moment in kept] == [*STEPS, STEPS[0]]
    assert kept[3].asked_at == pytest.approx(steps[3].asked_at, abs=1e-6)


def test_saga_with_an_unknown_moment_is_left_out() -> None:
    checkout = sample(latency=0.1)
    done = {(checkout.saga_id, step): (EPOCH + 0.01, EPOCH + 0.02) for step in STEPS}
    asked = {(checkout.saga_id, step): EPOCH + 0.005 for step in STEPS[1:]}
    moments = timeline.moments_of(sample=checkout, saga=CHECKOUT, done=done, asked=asked, again={})
    assert [moment.step for moment in moments] == STEPS
    assert moments[0].asked_at == checkout.intended_at
    assert moments[-1].decided_at == checkout.ended_at
    del asked[checkout.saga_id, "commit_inventory"]
    assert not timeline.moments_of(sample=checkout, saga=CHECKOUT, done=done, asked=asked, again={})


def test_sample_of_a_window_is_spread_over_it_and_bounded() -> None:
    many = [sample(intended=n) for n in range(3 * timeline.MOST_SAGAS)]
    many[0] = replace(many[0], outcome=samples.COMPENSATED)
    chosen = timeline.chosen_of(samples=many)
    assert len(chosen) == timeline.MOST_SAGAS
    assert chosen[0] == many[1]
    assert chosen[-1].intended_at > EPOCH + 2.9 * timeline.MOST_SAGAS
    assert timeline.chosen_of(samples=[]) == []
