"""What charts over time are drawn from: counts of the samples themselves."""

import pytest

from loadtests.drawing import faults, throughput
from tests.unit.loadtests.builders import sample


def test_completed_are_counted_in_the_second_in_which_they_ended() -> None:
    every = [sample(intended=n, latency=0.4) for n in range(3)]
    late = sample(intended=0, latency=2.6)
    failed = sample(intended=0, latency=0.1, outcome="failed")
    course = throughput.course_of(samples=[*every, late, failed], bin_seconds=0.5)
    assert course == [2, 0, 2, 0, 2, 2]


def test_mean_of_courses_counts_a_window_that_is_done_as_nothing() -> None:
    assert throughput.mean_of([[4, 2], [2]]) == [3, 1]


def test_backlog_is_what_was_accepted_and_has_not_ended() -> None:
    every = [sample(intended=n / 10, latency=2) for n in range(10)]
    refused = sample(status=503)
    course = faults.backlog_of(samples=[*every, refused], seconds=4)
    at = {look * 4 / faults.LOOKS: count for look, count in enumerate(course.waiting)}
    assert (at[0.5], at[1.5], at[2.5], at[3.5]) == (5, 10, 4, 0)
    assert course.highest == 10


@pytest.mark.parametrize(("latency", "seconds"), [(0.5, 0), (3, 0.9), (10, 7.9)])
def test_drained_when_all_that_was_held_has_ended(latency: float, seconds: float) -> None:
    every = [sample(intended=n / 10, latency=latency) for n in range(10)]
    after = sample(intended=5, latency=99)
    drained = faults.drained_after(samples=[*every, after], resumed=3)
    assert drained == pytest.approx(seconds, abs=1e-3)


def test_never_drained_where_one_has_not_ended() -> None:
    every = [sample(latency=1), sample(ended=False)]
    assert faults.drained_after(samples=every, resumed=3) is None
