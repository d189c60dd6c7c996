"""The report of a soak: times of recovery, figures, breaches, and how to repeat it."""

import math
from collections import Counter

import pytest

from catalogue import SAGAS
from checker.soak import results
from checker.soak.results import Lasted, Lateness, Round, SoakSettings, median_and_longest
from checker.soak.shoppers import PlannedRequest, SagaRequest
from checker.soak.watching import AcceptedRow, MemoryUse
from loadtests.faults.injector import Made
from loadtests.faults.plan import FaultKind, PlannedFault

QUICK = Lasted(10.0, 10.1)
SETTINGS = SoakSettings(
    saga=SAGAS["checkout"],
    patterns=["orchestrated"],
    seconds=60.0,
    rate=50.0,
    seed=7,
    kinds=[FaultKind.KILL],
    every=4.0,
)


def asked(key, at):
    wanted = PlannedRequest(at=at, key=key, body=b"")
    return SagaRequest(wanted=wanted, intended_at=at, attempts=3, accepted_at=at + 1, answers=[key])


def accepted(key, ended_at):
    status = "completed" if ended_at else "running"
    return AcceptedRow(key, key, status, 0.0, ended_at)


def kill(target, *, is_made=True):
    fault = PlannedFault(number=1, at=1.0, kind=FaultKind.KILL, target=target)
    return Made(fault=fault, began_at=10.0, ended_at=10.0, is_made=is_made, note="it was down")


@pytest.fixture
def soaked():
    """Makes a round of two sagas: one that ended 5 s after a kill, and one at this time."""

    def make(*, breaches=(), ended_at=10.5):
        return Round(
            pattern="orchestrated",
            where="somewhere",
            asked=[asked("a", 9.0), asked("b", 10.0)],
            made=[kill("postgres"), kill("rabbitmq", is_made=False)],
            consumed=100,
            repeated=2,
            decided=Counter(yes=2),
            drained_in=3.0,
            accepted=[accepted("a", 15.0), accepted("b", ended_at)],
            memory={"postgres": MemoryUse(begin=1.0, most=3.0, end=2.0)},
            ended_by_themselves=[],
            breaches=list(breaches),
            is_interrupted=False,
        )

    return make


def text_of(result):
    return results.as_text(settings=SETTINGS, rounds=[result])


def test_recovery_is_reported_by_kind_for_the_faults_that_were_made(soaked):
    recoveries = soaked().recoveries()
    assert recoveries == {FaultKind.KILL: [5.0]}
    assert "kill          1  5.0 s, 5.0 s" in text_of(soaked())


def test_fault_that_was_not_made_is_reported_with_its_reason(soaked):
    assert "kill rabbitmq: it was down" in text_of(soaked())


def test_saga_that_never_ended_is_reported_as_never(soaked):
    result = soaked(ended_at=None)
    assert "ended never after the intended start" in text_of(result)
    figures = results.as_json(settings=SETTINGS, rounds=[result])["rounds"][0]
    assert figures["longest"]["end"] is None


def test_right_round_is_called_right(soaked):
    assert "right: nothing lost, nothing duplicated" in text_of(soaked())


def test_every_breach_is_named_and_none_is_called_right(soaked):
    result = soaked(breaches=[f"breach {n}" for n in range(results.SHOWN + 5)])
    assert "WRONG: breach 0" in text_of(result)
    assert "WRONG: and 5 more" in text_of(result)
    assert "right:" not in text_of(result)
    figures = results.as_json(settings=SETTINGS, rounds=[result])["rounds"][0]
    assert len(figures["breaches"]) == results.SHOWN + 5


def test_last_line_is_the_command_that_repeats_the_soak(soaked):
    assert text_of(soaked()).endswith(
        "repeat it: manage.py soak --saga checkout --minutes 1 --rate 50 --patterns orchestrated"
        " --faults kill --every 4 --seed 7"
    )


def recovered_in(*checkouts, began_at=100.0, ended_at=100.0):
    lateness = Lateness(sagas=[QUICK, *(Lasted(*checkout) for checkout in checkouts)])
    return lateness.recovered_in(began_at=began_at, ended_at=ended_at)


def test_fault_that_delays_no_checkout_needs_no_recovery():
    assert recovered_in((99.9, 100.1), (100.0, 101.9)) == 0.0


def test_shop_has_recovered_when_the_last_late_checkout_has_ended():
    assert recovered_in((99.9, 103.0), (100.5, 104.5)) == 4.5


def test_late_checkout_that_begins_a_moment_after_the_fault_counts():
    assert recovered_in((100.5, 104.5)) == 4.5


def test_late_checkout_that_begins_long_after_does_not():
    assert recovered_in((101.5, 104.5)) == 0.0


def test_recovery_counts_from_the_end_of_a_fault_that_lasts():
    assert recovered_in((101.0, 106.0), began_at=100.0, ended_at=105.0) == 1.0


def test_lateness_from_before_the_fault_is_not_its_own():
    assert recovered_in((90.0, 200.0), (100.2, 103.0)) == 3.0


def test_shop_with_a_checkout_that_never_ends_never_recovers():
    assert recovered_in((99.9, math.inf)) == math.inf


def test_median_of_an_even_number_is_the_upper_one():
    assert median_and_longest([4.0, 1.0, 3.0, 2.0]) == (3.0, 4.0)
