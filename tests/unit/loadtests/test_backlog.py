"""The figures of an outage, from samples."""

from dataclasses import replace

import pytest

from loadtests.measuring.samples import Sample
from loadtests.outages import Down, outage_of

DOWN = Down(participant="pagos", went_at=100.0, is_back_at=110.0, calls=3, probes=5)
SAMPLE = Sample(
    window=1,
    phase="outage",
    pattern="orchestrated",
    intended_at=0.0,
    sent_at=0.0,
    answered_at=0.0,
    http_status=202,
    saga_id="s",
    outcome="completed",
    ended_at=0.0,
    error="",
)


def sample(at, *, ended, **fields):
    return replace(SAMPLE, intended_at=at, answered_at=at + 0.1, ended_at=ended, **fields)


@pytest.fixture
def outage():
    return outage_of(
        pattern="orchestrated",
        down=DOWN,
        samples=[
            sample(98.0, ended=99.0),
            sample(101.0, ended=112.0),
            sample(102.0, ended=115.5),
            sample(103.0, ended=0.0, http_status=503, outcome="not accepted"),
            sample(104.0, ended=104.5, outcome="failed"),
            sample(111.0, ended=130.0),
            sample(112.0, ended=0.0, outcome="unfinished"),
        ],
    )


def test_accepted_refused_and_ended_are_those_of_the_outage(outage):
    assert (outage.offered, outage.accepted, outage.refused, outage.ended) == (4, 3, 1, 1)


def test_late_answer_is_counted_in_the_second_of_its_request():
    late = replace(sample(109.0, ended=115.0), answered_at=111.0)
    outage = outage_of(pattern="orchestrated", samples=[late], down=DOWN)
    assert (outage.offered, outage.accepted, outage.refused) == (1, 1, 0)


def test_drain_ends_with_the_last_that_was_accepted_before_the_return(outage):
    assert outage.drain_seconds == pytest.approx(5.5)


def test_unfinished_checkouts_are_counted(outage):
    assert (outage.completed_in_all, outage.unfinished) == (4, 1)


def test_backlog_is_counted_second_by_second(outage):
    by_second = {second.at: second.backlog for second in outage.course}
    assert (by_second[-1], by_second[4], by_second[5]) == (0, 2, 2)
    assert outage.most_backlog == max(by_second.values()) == 3


def test_nothing_offered_has_no_course():
    empty = outage_of(pattern="orchestrated", samples=[], down=DOWN)
    assert (empty.course, empty.drain_seconds, empty.most_backlog) == ([], 0.0, 0)
