"""Pauses after faults: they grow until a success, and only then."""

from datetime import timedelta

from messaging import worker as backoff_module
from messaging.brokers import BrokerUnavailable
from messaging.worker import Backoff


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(first=0.1, longest=0.5)
    assert [backoff.pause() for _ in range(4)] == [0.1, 0.2, 0.4, 0.5]


def test_pauses_start_anew_after_a_success():
    backoff = Backoff(first=0.1, longest=0.5)
    backoff.pause()
    backoff.pause()
    backoff.went_well()
    assert backoff.pause() == 0.1


def test_complaint_is_one_line(monkeypatch):
    monkeypatch.setattr(backoff_module, "PASSING", timedelta())
    backoff = Backoff()
    backoff.pause(BrokerUnavailable("it is blocked\nby an alarm"))
    (complaint,) = backoff.complaints("nothing is sent", "Look at the broker.")
    assert complaint.what == "nothing is sent: it is blocked"
    assert complaint.do == "Look at the broker."
    assert complaint.stops_sagas


def test_complaint_has_no_words_of_a_library(monkeypatch):
    monkeypatch.setattr(backoff_module, "PASSING", timedelta())
    backoff = Backoff()
    backoff.pause(ValueError("lock timeout\nLINE 2: SELECT id\n ^"))
    (complaint,) = backoff.complaints("nothing is sent", "", stops_sagas=False)
    assert complaint.what == "nothing is sent: ValueError: the log of this service says more"
    assert not complaint.stops_sagas


def test_passing_fault_is_no_complaint():
    backoff = Backoff()
    backoff.pause(BrokerUnavailable("it is blocked"))
    assert backoff.complaints("nothing is sent", "") == []


def test_complaint_is_over_after_a_success(monkeypatch):
    monkeypatch.setattr(backoff_module, "PASSING", timedelta())
    backoff = Backoff()
    backoff.pause(BrokerUnavailable("it is blocked"))
    backoff.went_well()
    assert backoff.complaints("nothing is sent", "") == []
