"""The database's clock as a process estimates it."""

import pytest

from saga_orchestrator import in_flight
from saga_orchestrator.in_flight import DatabaseClock


class Host:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def host(monkeypatch):
    made = Host()
    monkeypatch.setattr(in_flight, "time", made)
    return made


def statement(clock, host, *, ahead, before, after):
    """A statement that takes so many seconds before and after the database reads its clock."""
    began = host.seconds
    returned = began + before + ahead
    host.seconds += before + after
    clock.observe(began=began, returned=returned)


def test_quicker_statements_give_a_better_estimate(host):
    clock = DatabaseClock()
    statement(clock, host, ahead=1000.0, before=1.0, after=3.0)
    assert clock.now() == pytest.approx(host.seconds + 1000.0, abs=2.0)
    statement(clock, host, ahead=1000.0, before=0.1, after=0.3)
    assert clock.now() == pytest.approx(host.seconds + 1000.0, abs=0.2)
    statement(clock, host, ahead=1000.0, before=5.0, after=5.0)
    assert clock.now() == pytest.approx(host.seconds + 1000.0, abs=0.2), "a slow one spoils nothing"


def test_clock_that_was_set_is_followed(host):
    clock = DatabaseClock()
    statement(clock, host, ahead=1000.0, before=0.1, after=0.1)
    statement(clock, host, ahead=7000.0, before=0.5, after=0.5)
    assert clock.now() == pytest.approx(host.seconds + 7000.0, abs=0.5)
