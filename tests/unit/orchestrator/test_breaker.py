"""A service that is down is not called."""

import pytest

from coordination.participants import (
    FAULTS_TO_OPEN,
    FIRST_OPEN_SECONDS,
    LONGEST_OPEN_SECONDS,
    LONGEST_POSTPONE_SECONDS,
    Breaker,
)


class Outage:
    """A service, its breaker, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.is_back = False
        self.probes = 0
        self.breaker = Breaker(probe=self._probe, clock=lambda: self.now)

    def _probe(self) -> bool:
        self.probes += 1
        return self.is_back

    def begin(self) -> None:
        for _ in range(FAULTS_TO_OPEN):
            self.breaker.faulted()


@pytest.fixture
def outage():
    return Outage()


def test_breaker_opens_after_faults_in_a_row(outage):
    for _ in range(FAULTS_TO_OPEN - 1):
        outage.breaker.faulted()
    assert outage.breaker.allows()
    outage.breaker.faulted()
    assert not outage.breaker.allows()


def test_success_between_faults_keeps_it_closed(outage):
    for _ in range(10):
        outage.breaker.faulted()
        outage.breaker.succeeded()
    assert outage.breaker.allows()


def test_open_breaker_does_not_probe_at_once(outage):
    outage.begin()
    assert not outage.breaker.allows()
    assert outage.probes == 0


def test_probe_that_fails_keeps_it_open_for_longer(outage):
    outage.begin()
    outage.now += FIRST_OPEN_SECONDS
    assert not outage.breaker.allows()
    outage.now += FIRST_OPEN_SECONDS
    assert not outage.breaker.allows()
    assert outage.probes == 1


def test_service_that_is_back_closes_it(outage):
    outage.begin()
    outage.is_back = True
    outage.now += FIRST_OPEN_SECONDS
    assert outage.breaker.allows()
    assert not outage.breaker.is_open


def test_fault_right_after_a_good_probe_opens_it_at_once(outage):
    outage.begin()
    outage.is_back = True
    outage.now += FIRST_OPEN_SECONDS
    outage.breaker.allows()
    outage.breaker.faulted()
    assert outage.breaker.is_open


def test_service_that_stays_down_is_probed_every_few_seconds(outage):
    outage.begin()
    for _ in range(600):
        outage.now += 0.1
        outage.breaker.allows()
    assert 0.9 * 60 / LONGEST_OPEN_SECONDS <= outage.probes <= 60 / LONGEST_OPEN_SECONDS + 3


def test_calls_are_postponed_for_longer_in_a_longer_outage_up_to_a_bound(outage):
    outage.begin()
    at_first = outage.breaker.postpone_seconds(draw=0.999)
    outage.now += 600
    later = outage.breaker.postpone_seconds(draw=0.999)
    assert 0 < at_first < later <= LONGEST_POSTPONE_SECONDS
