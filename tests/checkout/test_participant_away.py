"""A participant is away for some seconds, in both patterns: the experiment that users can run."""

import pytest

from coordination.participants import FAULTS_TO_OPEN
from loadtests import outages
from loadtests.load.shopper import THE_TWO

SECONDS = 5.0
RATE = 20.0


@pytest.fixture(params=THE_TWO)
def pattern(request):
    return request.param


@pytest.fixture(scope="module")
def measured(stack, tmp_path_factory):
    """An outage of pagos, by pattern."""
    settings = outages.OutageSettings(
        patterns=THE_TWO,
        participant="pagos",
        seconds=SECONDS,
        rate=RATE,
        seed=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outages, "LEAD_SECONDS", 1.0)
        folder = tmp_path_factory.mktemp("outage")
        results = outages.measure(stack=stack, settings=settings, folder=folder, say=print)
    return {outage.pattern: outage for outage in results}


@pytest.mark.timeout(180)
def test_checkouts_are_accepted_while_a_participant_is_away(measured, pattern):
    assert measured[pattern].refused == 0
    assert measured[pattern].accepted >= 0.9 * SECONDS * RATE


def test_accepted_checkouts_wait_and_end_once_it_is_back(measured, pattern):
    outage = measured[pattern]
    assert outage.most_backlog >= 0.5 * SECONDS * RATE
    assert outage.unfinished == 0
    assert outage.completed_in_all == outage.course[-1].accepted


def test_backlog_drains_within_twice_the_outage(measured, pattern):
    assert measured[pattern].drain_seconds <= 2 * measured[pattern].down.seconds


def test_breaker_keeps_the_orchestrator_from_hammering_it(measured):
    """Without it each checkout would call in vain, five times. The counters are a second old."""
    down = measured["orchestrated"].down
    calls_of_a_second = RATE
    assert down.calls <= FAULTS_TO_OPEN * down.seconds + calls_of_a_second
    assert measured["choreographed"].down.calls == 0
