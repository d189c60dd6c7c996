"""How long the shop took to recover, from when its checkouts began and ended."""

import math

from checker.soak.results import Lasted, Lateness, middle_and_longest

QUICK = Lasted(10.0, 10.1)


def recovered_in(*checkouts, began_at=100.0, ended_at=100.0):
    lateness = Lateness(sagas=[QUICK, *(Lasted(*one) for one in checkouts)])
    return lateness.recovered_in(began_at=began_at, ended_at=ended_at)


def test_fault_that_makes_nobody_late_needs_no_recovery():
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


def test_middle_of_an_even_number_is_the_upper_one():
    assert middle_and_longest([4.0, 1.0, 3.0, 2.0]) == (3.0, 4.0)
